"""How values are written in the store: JSON text and integer milliseconds."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_WIDE_INTEGER = re.compile(r"\d{19}")  # may be over 2**63, which orjson would read as a float


def to_json(value: Any) -> str:
    """Compact JSON text; integers of any size stay integers."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The value of a JSON text written by `to_json`."""
    if _WIDE_INTEGER.search(text):
        return json.loads(text)
    return orjson.loads(text)


def to_ms(time: datetime) -> int:
    """UTC-aware time as integer milliseconds since 1970."""
    return (time - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as a UTC-aware time."""
    return _EPOCH + milliseconds * _MILLISECOND
