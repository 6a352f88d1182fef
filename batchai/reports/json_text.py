"""Values → JSON for programs: a stable shape, money as strings, nothing but ASCII."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


def json_text(value: Any) -> str:
    """A dataclass or mapping as `{"schema_version": 1, …}`.

    Field names are the keys. Characters outside ASCII are escaped, so that what a model wrote
    cannot steer a terminal from here either.
    """
    return json.dumps({"schema_version": SCHEMA_VERSION, **plain(value)}, indent=2)


def json_line(value: Any) -> str:
    """The same on one line: a stream of them is JSON lines."""
    return json.dumps({"schema_version": SCHEMA_VERSION, **plain(value)})


def plain(value: Any) -> Any:
    """A value made of what JSON knows."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, date):  # and datetime
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value
