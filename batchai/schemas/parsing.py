"""Answer text → JSON value, as strictly as JSON is meant."""

import json
import math
import re
from typing import Any

_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.S)


def parse_answer(text: str) -> Any:
    """The JSON value of an answer, with or without a code fence; raises ValueError in one line.

    NaN and Infinity are refused, and names that appear twice; integers of any size are kept.
    """
    text = text.strip()
    if text.startswith("```"):
        text = _within_fence(text) or text
    try:
        value = _parse(text)
    except ValueError:
        # prose around one fenced block: take the block, else report on the whole
        inner = _within_fence(text)
        if inner is None:
            raise
        value = _parse(inner)
    return _safe(value) if "\\ud" in text.lower() else value


def safe_text(text: str) -> str:
    """`text` with lone surrogates replaced: neither UTF-8 nor SQLite takes them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _within_fence(text: str) -> str | None:
    blocks = _FENCE.findall(text)
    return blocks[0] if len(blocks) == 1 else None


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
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"the answer contains {name}, which is not JSON")


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
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique
)


def _safe(value: Any) -> Any:
    match value:
        case str():
            return safe_text(value)
        case list():
            return [_safe(one) for one in value]
        case dict():
            return {safe_text(name): _safe(one) for name, one in value.items()}
        case _:
            return value
