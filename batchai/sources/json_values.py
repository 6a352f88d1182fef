"""One JSON object from text: fast where it can be, exact where it must be."""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

import orjson

from batchai.sources.values import plain

_EXACT = 2.0**63  # orjson reads integers of more than 64 bits as floats
_MAY_HIDE = frozenset((float, list, dict))


def parse_object(text: bytes | str) -> dict[str, Any]:
    """The object in `text`; of a name that occurs twice the last value counts.

    Integers of any size are kept, lone surrogates become U+FFFD. Raises ValueError with the
    problem: not JSON, not UTF-8, NaN or infinity, not an object.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return object_of(_slowly(text))
    if type(value) is not dict:
        return object_of(value)
    fields = value.values()
    if not _MAY_HIDE.isdisjoint(map(type, fields)) and _hides_integer(fields):
        return object_of(_slowly(text))
    return value


def object_of(value: Any) -> dict[str, Any]:
    """`value` where it is an object; raises ValueError otherwise."""
    if isinstance(value, dict):
        return value
    kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    raise ValueError(f"is {kinds.get(type(value), 'a number')}, not an object with named fields")


def _hides_integer(values: Iterable[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind is float:
            if value >= _EXACT or value <= -_EXACT:
                return True
        elif (kind is dict and _hides_integer(value.values())) or (
            kind is list and _hides_integer(value)
        ):
            return True
    return False


def _slowly(text: bytes | str) -> Any:
    try:
        text = text.decode() if isinstance(text, bytes) else text
        return plain(json.loads(text, parse_constant=_refuse))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte 0x{error.object[error.start]:02x} is not valid utf-8; "
            "if the file is in another encoding, say `input: {encoding: latin-1}`"
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which JSON does not know; write null")
