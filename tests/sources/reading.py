"""How the tests of sources write inputs and read them."""

from pathlib import Path
from typing import Any

from batchai.sources import BadRow, Record, open_source
from batchai.spec.models import Input


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path | str, **options: Any) -> list[Record | BadRow]:
    return list(open_source(Input(path=str(path), **options)).records())


def fields(path: Path | str, **options: Any) -> list[dict[str, Any]]:
    return [entry.fields for entry in read(path, **options) if isinstance(entry, Record)]


def bad(path: Path | str, **options: Any) -> list[BadRow]:
    return [entry for entry in read(path, **options) if isinstance(entry, BadRow)]
