"""What of other hands' files its user trusts to run programs, and to send news with his secrets.

Whoever downloads a folder gets its `batchai.yaml` and the Python of its checks too, so `notify:`
and functions hold only once somebody has looked at them, and again after each change: as with
direnv. What is trusted is kept in the user's own configuration, as SHA-256 and, for a person, what
it is of.
"""

import os
from pathlib import Path

from batchai.errors import RefusedError


def trusted() -> dict[str, str]:
    """SHA-256 of what was trusted, and what each is of."""
    try:
        lines = _file().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {digest: what for digest, _, what in (line.partition(" ") for line in lines)}


def is_trusted(digest: str) -> bool:
    """Whether the content of this SHA-256 was trusted."""
    return digest in trusted()


def trust(digest: str, what: str) -> None:
    """Trust it from now on. Raises RefusedError where that cannot be written down."""
    path = _file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"{digest} {' '.join(what.splitlines())}\n")
    except OSError as error:
        raise RefusedError(f"{path}: cannot be written ({error.strerror})") from error


def _file() -> Path:
    """In XDG_CONFIG_HOME, or ~/.config: never beside a job."""
    home = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return folder / "batchai" / "trusted"
