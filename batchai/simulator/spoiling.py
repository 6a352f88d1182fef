"""How a good answer is spoiled: text in, text out."""

import json
from collections.abc import Callable
from typing import Any

from batchai.simulator.faults import Fault

SURROGATE = "\ud800"


def spoiled(text: str, *, fault: Fault | None, is_json: bool, huge_bytes: int) -> str:
    """The text as the fault leaves it; faults that do not touch the text leave it as it is."""
    match fault:
        case Fault.INVALID_JSON:
            return text[: len(text) * 2 // 3] + '", oops'
        case Fault.FENCED:
            return f"```json\n{text}\n```"
        case Fault.PROSE:
            return f"Here is what you asked for:\n\n{text}\n\nLet me know if you need more."
        case Fault.SCHEMA_VIOLATION:
            return _changed(text, is_json, lambda _value: {"violates": "the schema"})
        case Fault.NAN:
            return _changed(text, is_json, lambda _value: float("nan"))
        case Fault.SURROGATES:
            return _changed(text, is_json, lambda value: f"{value}{SURROGATE}")
        case Fault.EMPTY_TEXT:
            return ""
        case Fault.TRUNCATED | Fault.CONTEXT_EXCEEDED:
            return text[: len(text) // 2]
        case Fault.HUGE:
            return _padded(text, is_json, huge_bytes)
        case _:
            return text


def _changed(text: str, is_json: bool, change: Callable[[Any], Any]) -> str:
    """The answer with one value changed: the first of an object, else the whole."""
    if not is_json:
        changed = change(text)
        return changed if isinstance(changed, str) else json.dumps(changed)
    value = json.loads(text)
    if isinstance(value, dict) and value:
        first = next(iter(value))
        return json.dumps({**value, first: change(value[first])})
    return json.dumps(change(value))


def _padded(text: str, is_json: bool, size: int) -> str:
    """Padded to the size, JSON with the white space that a model in a loop writes."""
    missing = max(0, size - len(text))
    return text[:-1] + " " * missing + text[-1:] if is_json else text + " more" * (missing // 5)
