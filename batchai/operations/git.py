"""What git says about a file, for hints that keep keys out of repositories."""

import subprocess
from pathlib import Path

_PATIENCE_SECONDS = 10


def is_ignored_by_git(path: Path) -> bool | None:
    """Whether git leaves `path` out; None outside a repository, or without git.

    A file that is already tracked is not ignored, whatever `.gitignore` says. It need not exist.
    """
    command = ["git", "-C", str(path.parent), "-c", "core.fsmonitor=false"]
    command += ["check-ignore", "--quiet", "--", path.name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {0: True, 1: False}.get(done.returncode)
