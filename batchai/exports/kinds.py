"""Kinds of values, for formats whose columns have a type."""

from decimal import Decimal
from typing import Any

_INT64 = 2**63
_EXACT_AS_FLOAT = 2**53
_SCALARS = {str: "str", bool: "bool", float: "float", Decimal: "decimal", type(None): "null"}


def kind_of(value: Any) -> str:
    """null, bool, int, long (beyond what a float holds exactly), float, decimal, str; `[int]` for a
    list of such; json for everything else."""
    if type(value) is int:
        return _integer(value)
    if isinstance(value, list):
        return _list_kind(value)
    return _SCALARS.get(type(value), "json")


def merged(one: str, other: str) -> str:
    """The kind of a column that holds both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if one[0] == other[0] == "[":
        return _listed(merged(one[1:-1], other[1:-1]))
    pair = {one, other}
    if pair == {"int", "long"}:
        return "long"
    return "float" if pair == {"int", "float"} else "json"


def _integer(value: int) -> str:
    if -_EXACT_AS_FLOAT <= value <= _EXACT_AS_FLOAT:
        return "int"
    return "long" if -_INT64 <= value < _INT64 else "json"


def _list_kind(values: list[Any]) -> str:
    kind = "null"
    for value in values:
        item = kind_of(value)
        if item == "null" or item[0] == "[":  # a hole or a list in a list: not one kind of scalar
            return "json"
        kind = merged(kind, item)
    return _listed(kind)


def _listed(kind: str) -> str:
    return "json" if kind == "json" else f"[{kind}]"
