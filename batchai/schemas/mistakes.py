"""What in a schema a provider would refuse, or could not enforce; told before anything is sent."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from batchai.schemas.answers import compiled
from batchai.schemas.walking import Schema, alternatives, children, referenced, types_of

_MAX_LEVELS = 10
_MAX_PROPERTIES = 5000
_MAX_ENUM_VALUES = 1000
_MAX_CHARS = 120_000
_MAX_OPTIONAL = 24
_MAX_UNIONS = 16
_STRICT_PROVIDERS = ("openai", "anthropic")


def schema_mistakes(schema: Schema, provider: str) -> list[str]:
    """One line for each thing to change, with place and remedy; [] where the schema will do."""
    if schema.get("type") != "object":
        return [
            "schema: the top level must be `type: object`; put the value into a field of an object"
        ]
    found = [*_references(schema, "schema", schema)]
    if found:
        return found
    try:
        compiled(schema)
    except ValueError as error:
        return [f"schema{_place(error)}: is not valid JSON Schema: {_words(error)}"]
    if provider in _STRICT_PROVIDERS:
        found += dict.fromkeys(_open_places(schema, "schema"))
    if provider == "openai":
        found += _openai_sizes(schema)
    if provider == "anthropic":
        found += _anthropic_sizes(schema)
    return found


def _place(error: ValueError) -> str:
    path = error.instance_path if isinstance(error, jsonschema_rs.ValidationError) else []
    return "".join(f".{step}" for step in path)


def _words(error: ValueError) -> str:
    if isinstance(error, jsonschema_rs.ValidationError):
        return error.message
    return str(error).splitlines()[0]


def _references(schema: Any, place: str, root: Schema) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and referenced(reference, root) is None:
        yield f"{place}.$ref: {reference!r} is not in this schema; use $defs and `#/$defs/NAME`"
    for name, child in children(schema):
        yield from _references(child, f"{place}.{name}", root)


def _open_places(schema: Any, place: str) -> Iterator[str]:
    """Places that a strict provider cannot express."""
    if not isinstance(schema, Mapping) or not schema.keys() & _SAYS_WHAT:
        yield f"{place}: says nothing about the value; give it a type"
        return
    extra = schema.get("additionalProperties", False)
    if extra is not False or "patternProperties" in schema:
        yield (
            f"{place}: open maps are not possible; name the properties, or make it a list of "
            "objects with name and value"
        )
    elif "object" in types_of(schema) and not schema.get("properties"):
        yield f"{place}: an object without properties is always empty; name its properties"
    if "array" in types_of(schema) and not isinstance(schema.get("items"), Mapping):
        yield f"{place}: say what the list holds with `items`; for a tuple use an object"
    if len(schema.get("allOf", ())) > 1:
        yield f"{place}.allOf: is not possible; write the properties into one object"
    for name, child in children(schema):
        if name.partition(".")[0] in _DESCENDED:
            yield from _open_places(child, f"{place}.{name}")


_SAYS_WHAT = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties"})
_DESCENDED = frozenset({"properties", "items", "anyOf", "oneOf", "allOf", "$defs", "definitions"})


def _openai_sizes(schema: Schema) -> Iterator[str]:
    properties, values, levels = _sizes(schema, 1)
    chars = len(json.dumps(schema, separators=(",", ":")))
    for size, most, what in (
        (properties, _MAX_PROPERTIES, "properties"),
        (values, _MAX_ENUM_VALUES, "enum values"),
        (levels, _MAX_LEVELS, "levels of nesting"),
        (chars, _MAX_CHARS, "characters"),
    ):
        if size > most:
            yield f"schema: has {size:,} {what}; OpenAI takes at most {most:,}"


def _sizes(schema: Schema, level: int) -> tuple[int, int, int]:
    """Properties, enum values, and the deepest level of objects."""
    properties, values = len(schema.get("properties", ())), len(schema.get("enum", ()))
    deepest = level
    for name, child in children(schema):
        if isinstance(child, Mapping):
            nested = name.startswith(("properties", "items"))
            more, further, depth = _sizes(child, level + nested)
            properties, values, deepest = properties + more, values + further, max(deepest, depth)
    return properties, values, deepest


def _anthropic_sizes(schema: Schema) -> Iterator[str]:
    counts = Counter(_parameter_kinds(schema))
    if (optional := counts["optional"]) > _MAX_OPTIONAL:
        yield (
            f"schema: has {optional} optional fields; Anthropic takes at most {_MAX_OPTIONAL}: "
            "make the others required"
        )
    if (unions := counts["union"]) > _MAX_UNIONS:
        yield (
            f"schema: has {unions} fields with several types; Anthropic takes at most "
            f"{_MAX_UNIONS}: give the others one type"
        )
    if _is_recursive(schema, schema, ()):
        yield "schema: refers to itself, which Anthropic refuses; write out the levels needed"


def _parameter_kinds(schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        if name not in required:
            yield "optional"
        if isinstance(child, Mapping) and (len(types_of(child)) > 1 or alternatives(child)):
            yield "union"
    for _, child in children(schema):
        if isinstance(child, Mapping):
            yield from _parameter_kinds(child)


def _is_recursive(schema: Any, root: Schema, path: tuple[str, ...]) -> bool:
    if not isinstance(schema, Mapping):
        return False
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = referenced(reference, root)
        return reference in path or _is_recursive(target, root, (*path, reference))
    return any(
        _is_recursive(child, root, path)
        for name, child in children(schema)
        if not name.startswith(("$defs", "definitions"))
    )
