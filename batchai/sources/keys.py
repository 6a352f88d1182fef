"""Identity of records: the key of named columns, or a hash of the content."""

import hashlib
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import orjson

from batchai.errors import BadRowError


def key_of(fields: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    r"""The key that `columns` make.

    One column is its value as text; several are joined with "/", with "/" and "\" in a value
    escaped by "\", so that different values never make the same key. Raises BadRowError (without
    the place, which the caller knows) where a value is missing, empty, a list, or holds NUL.
    """
    if len(columns) == 1:
        return _part(fields, columns[0])
    parts = (_part(fields, column) for column in columns)
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in parts)


def content_key(fields: Mapping[str, Any]) -> str:
    """16 hex digits that depend on names and values, not on their order."""
    return hashlib.sha256(_canonical(fields)).hexdigest()[:16]


def _part(fields: Mapping[str, Any], column: str) -> str:
    try:
        value = fields[column]
    except KeyError:
        names = {name.lower(): name for name in fields}
        close = get_close_matches(column.lower(), names, n=1)
        hint = f"; did you mean {names[close[0]]!r}?" if close else ""
        raise BadRowError(f"has no key column {column!r}{hint}") from None
    if value is None:
        raise BadRowError(f"key column {column!r} is empty")
    if isinstance(value, dict | list):
        raise BadRowError(f"key column {column!r} holds a {type(value).__name__}, not one value")
    text = str(value)
    if not text.strip():
        raise BadRowError(f"key column {column!r} is empty")
    if "\0" in text:
        raise BadRowError(f"key column {column!r} holds a NUL character")
    return text


def _canonical(fields: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits, a lone surrogate, a value that is not plain
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), default=str).encode()
