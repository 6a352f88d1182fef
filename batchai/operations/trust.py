"""Which project files their user trusts to run programs and to send news with his secrets.

Whoever downloads a folder gets its `batchai.yaml` too, so `notify:` holds only once somebody has
looked at it, and again after each change of it: as with direnv. What is trusted is kept in the
user's own configuration, as hashes.
"""

import hashlib
import os
from pathlib import Path

from batchai.errors import RefusedError
from batchai.spec.models import Notify


def is_trusted(notify: Notify) -> bool:
    """Whether these words of this file were trusted."""
    try:
        return _digest(notify) in _file().read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return False


def trust(notify: Notify) -> None:
    """Trust them from now on. Raises RefusedError where that cannot be written down."""
    path = _file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{_digest(notify)}\n")
    except OSError as error:
        raise RefusedError(f"{path}: cannot be written ({error.strerror})") from error


def _file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return folder / "batchai" / "trusted"


def _digest(notify: Notify) -> str:
    return hashlib.sha256(notify.model_dump_json().encode()).hexdigest()
