"""How values are written in the store: JSON text and integer milliseconds."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from batchai.domain import Estimate

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_WIDE = 2.0**63  # orjson reads integers of more than 64 bits as floats


def to_json(value: Any) -> str:
    """Compact JSON text; integers of any size stay integers, lone surrogates are escaped."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The value of a JSON text written by `to_json`; raises ValueError."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
    return json.loads(text) if _hides_integer((value,)) else value


def estimate_to_json(estimate: Estimate) -> str:
    """An estimate as JSON text; money as strings."""
    values = asdict(estimate)
    for name, value in values.items():
        if isinstance(value, Decimal):
            values[name] = str(value)
    return to_json(values)


def estimate_from_json(text: str) -> Estimate:
    """The estimate of a JSON text written by `estimate_to_json`."""
    values = from_json(text)
    for name, value in values.items():
        if name.endswith("_usd") and value is not None:
            values[name] = Decimal(value)
    return Estimate(**{**values, "made_at": datetime.fromisoformat(values["made_at"])})


def to_ms(time: datetime) -> int:
    """UTC-aware time as integer milliseconds since 1970."""
    return (time - EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as a UTC-aware time."""
    return EPOCH + milliseconds * _MILLISECOND


def _hides_integer(values: Iterable[Any]) -> bool:
    """Whether a float is so large that it may have been an integer."""
    for value in values:
        kind = type(value)
        if kind is float:
            if value >= _WIDE or value <= -_WIDE:
                return True
        elif (kind is dict and _hides_integer(value.values())) or (
            kind is list and _hides_integer(value)
        ):
            return True
    return False
