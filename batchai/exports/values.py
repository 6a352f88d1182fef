"""One value as text, for formats that hold text."""

import json
from decimal import Decimal
from typing import Any

import orjson

from batchai.sources.values import clean_text


def json_text(value: Any) -> str:
    """Compact JSON; integers of any size, lone surrogates as U+FFFD, money as a string."""
    return json_bytes(value).decode()


def json_bytes(value: Any) -> bytes:
    """The same in UTF-8."""
    try:
        return orjson.dumps(value, default=_money)
    except TypeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_money)
        return clean_text(text).encode()


def money_text(value: Decimal) -> str:
    """Plain digits without trailing zeros."""
    return format(value.normalize(), "f")


def _money(value: Any) -> str:
    if isinstance(value, Decimal):
        return money_text(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
