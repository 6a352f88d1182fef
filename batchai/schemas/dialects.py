"""The user's JSON Schema → what a provider takes.

A dialect may only loosen: what a provider cannot enforce is told to the model in the description,
and every answer is validated against the user's own schema. Rules: the providers' structured-output
guides of autumn 2026.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchai.schemas.walking import Schema, allows_null, types_of

_IGNORED = frozenset(
    {"$schema", "$id", "$comment", "title", "default", "deprecated", "readOnly", "writeOnly"}
)
_STRUCTURE = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum"})
_REFERENCES = frozenset({"$ref", "anyOf", "description"})
_STRING = frozenset({"pattern", "format", "minLength", "maxLength"})
_NUMBER = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_ARRAY = frozenset({"items", "minItems", "maxItems", "uniqueItems", "contains", "prefixItems"})
_OBJECT = frozenset(
    {"properties", "required", "additionalProperties", "minProperties", "maxProperties"}
)
_OF_TYPE = {
    "string": _STRING,
    "number": _NUMBER,
    "integer": _NUMBER,
    "array": _ARRAY,
    "object": _OBJECT,
}
_TYPED = frozenset().union(*_OF_TYPE.values())
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """keeps: whether a keyword of this value is enforced. all_required: optional is nullable."""

    keeps: Callable[[str, Any], bool]
    all_required: bool


def normalise(schema: Schema, provider: str) -> dict[str, Any]:
    """`schema` in the dialect of `provider`; as it is for servers that take plain JSON Schema.

    Meant for schemas in which `schema_mistakes` finds nothing; others are passed on for the
    provider to refuse.
    """
    dialect = _DIALECTS.get(provider)
    if dialect is None:
        return dict(schema)
    result = _node(schema, dialect, schema)
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    if definitions:
        result["$defs"] = {name: _node(one, dialect, schema) for name, one in definitions.items()}
    return result


def _openai_keeps(keyword: str, value: Any) -> bool:
    match keyword:
        case "pattern":
            return "(?" not in value  # no lookarounds
        case "format":
            return value in _FORMATS
        case "minItems" | "maxItems":
            return True
    return keyword in _NUMBER


def _anthropic_keeps(keyword: str, value: Any) -> bool:
    match keyword:
        case "format":
            return value in _FORMATS or value == "uri"
        case "minItems":
            return value in (0, 1)
    return False


_DIALECTS = {
    "openai": Dialect(keeps=_openai_keeps, all_required=True),
    "anthropic": Dialect(keeps=_anthropic_keeps, all_required=False),
}


def _node(schema: Any, dialect: Dialect, root: Schema) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        return {}
    schema = _unfolded(schema)
    if len(types := types_of(schema)) > 1:
        schema = _split(schema, types)
    elif "enum" in schema and not types:
        schema = _typed_enum(schema)
    result, told = {}, []
    for keyword, value in schema.items():
        if keyword in _STRUCTURE | _REFERENCES:
            result[keyword] = value
        elif keyword not in _IGNORED and keyword not in ("$defs", "definitions"):
            if dialect.keeps(keyword, value):
                result[keyword] = value
            else:
                told.append(f"{keyword}: {json.dumps(value, ensure_ascii=False)}")
    _descend(result, dialect, root)
    if told:
        words = " ".join(filter(None, (result.get("description"), f"({', '.join(told)})")))
        result["description"] = words
    return result


def _descend(result: dict[str, Any], dialect: Dialect, root: Schema) -> None:
    if "$ref" in result:
        result["$ref"] = str(result["$ref"]).replace("#/definitions/", "#/$defs/")
    if "anyOf" in result:
        result["anyOf"] = [_node(branch, dialect, root) for branch in result["anyOf"]]
    if isinstance(result.get("items"), Mapping):
        result["items"] = _node(result["items"], dialect, root)
    if "object" in types_of(result) or "properties" in result:
        _close(result, dialect, root)


def _close(result: dict[str, Any], dialect: Dialect, root: Schema) -> None:
    """No further properties; where all must be required, optional ones may be null instead."""
    required = set(result.get("required", ()))
    properties: Mapping[str, Any] = result.get("properties", {})
    result["type"] = "object"
    result["properties"] = closed = {}
    for name, child in properties.items():
        closed[name] = _node(child, dialect, root)
        if dialect.all_required and name not in required and not allows_null(child, root):
            closed[name] = _or_null(closed[name])
    result["required"] = [name for name in closed if dialect.all_required or name in required]
    result["additionalProperties"] = False


def _or_null(node: dict[str, Any]) -> dict[str, Any]:
    null = {"type": "null"}
    if node.keys() <= {"anyOf", "description"}:
        return {**node, "anyOf": [*node["anyOf"], null]}
    outer = {"description": node.pop("description")} if "description" in node else {}
    return {**outer, "anyOf": [node, null]}


def _unfolded(schema: Schema) -> Schema:
    """oneOf → anyOf, const → enum, an allOf of one → its only member."""
    result = dict(schema)
    if "oneOf" in result and "anyOf" not in result:
        result["anyOf"] = result.pop("oneOf")
    if "const" in result:
        result["enum"] = [result.pop("const")]
    only = result.get("allOf")
    if isinstance(only, list) and len(only) == 1 and isinstance(only[0], Mapping):
        del result["allOf"]
        result = {**_unfolded(only[0]), **result}
    return result


def _split(schema: Schema, types: Sequence[str]) -> dict[str, Any]:
    """A list of types → anyOf with one type each and the keywords that concern it."""
    rest = {k: v for k, v in schema.items() if k not in _TYPED and k not in ("type", "enum")}
    branches = []
    for one in types:
        branch: dict[str, Any] = {"type": one}
        branch |= {k: v for k, v in schema.items() if k in _OF_TYPE.get(one, ())}
        if "enum" in schema:
            branch["enum"] = [value for value in schema["enum"] if _is(value, one)]
        if branch.get("enum") != []:
            if one == "null":
                branch = {"type": "null"}
            branches.append(branch)
    return {**rest, "anyOf": branches}


def _typed_enum(schema: Schema) -> Schema:
    types = tuple(dict.fromkeys(_type_name(value) for value in schema["enum"]))
    return {**schema, "type": types[0]} if len(types) == 1 else _split(schema, types)


def _is(value: Any, type_name: str) -> bool:
    own = _type_name(value)
    return own == type_name or (own == "integer" and type_name == "number")


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"
