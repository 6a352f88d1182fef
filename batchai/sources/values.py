"""Foreign values made plain: what the store, the prompts and the exports can all hold.

Plain is str, int, float, bool, None, list and dict with str keys; no NaN, no infinity, no lone
surrogate (sqlite3 raises on them). Dates become ISO strings, Decimal its digits, bytes base64,
NaN (how data frames write "missing") None. NUL in text is kept: fields travel as JSON.
"""

import base64
import math
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from functools import singledispatch
from typing import Any


def clean_text(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # a round trip through UTF-16 joins pairs that were written as two escapes
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


@singledispatch
def plain(value: Any) -> Any:
    """The plain form of any value; raises ValueError for infinity."""
    item = getattr(value, "item", None)  # a scalar of numpy
    if callable(item):
        return plain(item())
    return clean_text(str(value))


@plain.register
def _(value: str) -> str:
    return clean_text(value)


@plain.register(bool)
@plain.register(int)
@plain.register(type(None))
def _same(value: int | None) -> int | None:
    return value


@plain.register
def _(value: float) -> float | None:
    if math.isinf(value):
        raise ValueError("holds NaN or an infinite number, which JSON does not know; write null")
    return None if math.isnan(value) else value


@plain.register
def _(value: Decimal) -> str:
    return format(value, "f")


@plain.register(date)
@plain.register(time)
def _iso(value: date | time) -> str:
    return value.isoformat()


@plain.register(bytes)
@plain.register(bytearray)
@plain.register(memoryview)
def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


@plain.register
def _(value: Mapping) -> dict[str, Any]:  # type: ignore[type-arg]
    return {clean_text(str(key)): plain(item) for key, item in value.items()}


@plain.register(list)
@plain.register(tuple)
@plain.register(set)
@plain.register(frozenset)
def _items(value: list[Any]) -> list[Any]:
    return [plain(item) for item in value]
