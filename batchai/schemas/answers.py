"""Answers → results: parsed, tidied where a provider's dialect demands it, and validated."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from batchai.schemas.parsing import parse_answer, safe_text
from batchai.schemas.walking import Schema, allows_null, alternatives, resolved

_SHOWN_PROBLEMS = 3
_SHOWN_CHARS = 200
_MASK = "value"


@dataclass(frozen=True, slots=True)
class Reading:
    """value: what the answer says. problem: None, or in one line why it is no result."""

    value: Any
    problem: str | None


class AnswerSchema:
    """Reads answers against the user's own schema; without one every text is a result."""

    def __init__(self, schema: Schema | None) -> None:
        self._schema = schema
        self._validator = None if schema is None else compiled(schema)

    @property
    def is_text(self) -> bool:
        """Whether every text is a result as it stands."""
        return self._schema is None

    def read(self, text: str) -> Reading:
        """The result in `text`; `problem` serves a person, and the model as feedback."""
        if self._schema is None or self._validator is None:
            return Reading(safe_text(text), None)
        try:
            value = parse_answer(text)
        except ValueError as error:
            return Reading(None, str(error))
        if self._validator.is_valid(value):
            return Reading(value, None)
        value = tidied(value, self._schema, self._schema)
        if self._validator.is_valid(value):
            return Reading(value, None)
        return Reading(value, "; ".join(_problems(self._validator, value)))


def compiled(schema: Schema) -> jsonschema_rs.Validator:
    """A validator of `schema`; raises ValueError. Nothing is ever fetched for a `$ref`."""
    return jsonschema_rs.validator_for(
        dict(schema), mask=_MASK, validate_formats=True, retriever=_no_retrieval
    )


def tidied(value: Any, schema: Schema, root: Schema) -> Any:
    """`value` without the marks of a provider's dialect.

    Nulls of optional fields that may not be null are dropped (OpenAI requires every key), and enum
    values are brought to the schema's casing (Anthropic does not guarantee it).
    """
    schema = resolved(schema, root)
    if isinstance(value, str):
        return _recased(value, schema, root)
    branches = [schema, *(resolved(branch, root) for branch in alternatives(schema))]
    if isinstance(value, list):
        items: Schema = next((b["items"] for b in branches if "items" in b), {})
        if not isinstance(items, Mapping):
            return value
        return [tidied(one, items, root) for one in value]
    if isinstance(value, dict):
        branch = _best(value, branches)
        return dict(_kept(value, branch, root))
    return value


def _kept(value: dict[str, Any], schema: Schema, root: Schema) -> Iterator[tuple[str, Any]]:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    for name, one in value.items():
        child = properties.get(name)
        if not isinstance(child, Mapping):
            yield name, one
        elif one is not None or name in required or allows_null(child, root):
            yield name, tidied(one, child, root)


def _best(value: dict[str, Any], branches: list[Schema]) -> Schema:
    """The alternative that knows most of the value's names."""
    return max(branches, key=lambda branch: len(value.keys() & branch.get("properties", {}).keys()))


def _recased(value: str, schema: Schema, root: Schema) -> str:
    choices = list(_choices(schema, root))
    if value in choices:
        return value
    folded = value.strip().casefold()
    same = [choice for choice in choices if choice.casefold() == folded]
    return same[0] if len(same) == 1 else value


def _choices(schema: Schema, root: Schema) -> Iterator[str]:
    for choice in (*schema.get("enum", ()), schema.get("const")):
        if isinstance(choice, str):
            yield choice
    for branch in alternatives(schema):
        yield from _choices(resolved(branch, root), root)


def _problems(validator: jsonschema_rs.Validator, value: Any) -> Iterator[str]:
    for number, error in enumerate(validator.iter_errors(value)):
        if number == _SHOWN_PROBLEMS:
            yield "and more"
            return
        place = ".".join(map(str, error.instance_path)) or "the answer"
        words = " ".join(f"{place}{_shown(value, error.instance_path)}: {error.message}".split())
        yield words if len(words) <= _SHOWN_CHARS else words[: _SHOWN_CHARS - 1] + "…"


def _shown(value: Any, path: list[str | int]) -> str:
    """` = "urgnt"` of a short scalar; longer values are not repeated."""
    for step in path:
        value = value[step]
    if isinstance(value, str | int | float) and len(str(value)) <= 40:
        return f" = {value!r}"
    return ""


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"$ref {uri} is outside the schema; nothing is fetched")
