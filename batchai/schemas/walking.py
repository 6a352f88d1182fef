"""Finding the way through a JSON Schema: references, alternatives, whether null is allowed."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_MAX_HOPS = 32  # a chain of references longer than this is a circle


def resolved(schema: Schema, root: Schema) -> Schema:
    """`schema` after its local `$ref`s; itself where it has none or they lead nowhere."""
    for _ in range(_MAX_HOPS):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target = referenced(reference, root)
        if target is None:
            return schema
        schema = target
    return schema


def referenced(reference: str, root: Schema) -> Schema | None:
    """What `#/$defs/name` names in `root`; None where it names no schema."""
    if not reference.startswith("#"):
        return None
    node: Any = root
    for part in filter(None, reference[1:].split("/")):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node if isinstance(node, Mapping) else None


def types_of(schema: Schema) -> tuple[str, ...]:
    """The names in `type`, be it one or a list."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return (kind,)
    return (
        tuple(one for one in kind if isinstance(one, str)) if isinstance(kind, list | tuple) else ()
    )


def alternatives(schema: Schema) -> tuple[Schema, ...]:
    """The branches of `anyOf` or `oneOf`; () where there are none."""
    branches = schema.get("anyOf", schema.get("oneOf"))
    return (
        tuple(b for b in branches if isinstance(b, Mapping)) if isinstance(branches, list) else ()
    )


def allows_null(schema: Schema, root: Schema) -> bool:
    """Whether null is a valid value."""
    schema = resolved(schema, root)
    if "const" in schema:
        return schema["const"] is None
    if "enum" in schema:
        return None in schema["enum"]
    if types := types_of(schema):
        return "null" in types
    branches = alternatives(schema)
    return not branches or any(allows_null(branch, root) for branch in branches)


def children(schema: Schema) -> Iterator[tuple[str, Any]]:
    """Every direct subschema with its place (`properties.name`, `items`, `anyOf.0`, `$defs.x`)."""
    for group in ("properties", "$defs", "definitions", "patternProperties"):
        members = schema.get(group)
        if isinstance(members, Mapping):
            for name, child in members.items():
                yield f"{group}.{name}", child
    for single in ("items", "additionalProperties", "not", "if", "then", "else", "contains"):
        if isinstance(schema.get(single), Mapping):
            yield single, schema[single]
    for many in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, child in enumerate(schema.get(many) or ()):
            yield f"{many}.{number}", child
