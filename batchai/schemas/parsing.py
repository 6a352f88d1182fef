"""Answer text → JSON value, as strictly as JSON is meant."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

MAX_LEVELS = 100  # of nesting; what stores and exports results has limits of its own beyond it
_TOO_DEEP = f"the answer is nested more than {MAX_LEVELS} levels deep"
_MAX_DIGITS = 1000
_NESTED = (dict, list)
_ESCAPED_SURROGATE = "\\ud"
_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.S)


def parse_answer(text: str) -> Any:
    """The JSON value of an answer, with or without a code fence; raises ValueError in one line.

    NaN and Infinity are refused, and names that appear twice; integers of any size are kept.
    """
    try:
        value = _parse_fenced(text.strip())
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if text.count("{") + text.count("[") > MAX_LEVELS and _is_deeper(value, MAX_LEVELS):
        raise ValueError(_TOO_DEEP)
    return safe_value(value) if _ESCAPED_SURROGATE in text.lower() else value


def safe_text(text: str) -> str:
    """`text` with lone surrogates replaced: neither UTF-8 nor SQLite takes them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def safe_value(value: Any) -> Any:
    """JSON data with lone surrogates replaced in every string."""
    match value:
        case str():
            return safe_text(value)
        case list() | tuple():
            return [safe_value(one) for one in value]
        case Mapping():
            return {safe_text(name): safe_value(one) for name, one in value.items()}
        case _:
            return value


def _is_deeper(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        members = (
            v.values() if isinstance(v, dict) else v for v in layer if isinstance(v, _NESTED)
        )
        layer = [one for group in members for one in group]
    return any(isinstance(one, _NESTED) for one in layer)


def _within_fence(text: str) -> str | None:
    blocks = _FENCE.findall(text)
    return blocks[0] if len(blocks) == 1 else None


def _parse_fenced(text: str) -> Any:
    """A fence may stand around, with prose: take what it holds, else report on the whole."""
    try:
        return _parse(text)
    except ValueError:
        inner = _within_fence(text)
        if inner is None:
            raise
    return _parse(inner)


def _parse(text: str) -> Any:
    if not text:
        raise ValueError("the answer is empty, not JSON")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        begins = "" if text[0] in '{["' else f", it begins with {text[:20]!r}"
        raise ValueError(
            f"the answer is not JSON (line {error.lineno}, column {error.colno}: "
            f"{error.msg}{begins})"
        ) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"the answer contains {name}, which is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"the answer contains a number of {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the answer contains the number {digits[:30]}, which is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the answer has {twice[:40]!r} twice in one object")
    return members


_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_int=_integer, parse_float=_finite, object_pairs_hook=_unique
)
