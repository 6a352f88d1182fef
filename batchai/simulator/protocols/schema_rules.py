"""Which schemas the providers' structured output takes, as their documentation says (2026-11)."""

from collections.abc import Iterator, Mapping
from typing import Any

_OPENAI_UNKNOWN = frozenset(
    ("allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "default")
)
_ANTHROPIC_UNKNOWN = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
     "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties", "patternProperties",
     "if", "then", "else", "not", "default")
)  # fmt: skip
_ANTHROPIC_OPTIONALS = 24
_ANTHROPIC_UNIONS = 16
_OPENAI_DEPTH = 10


def openai_objection(schema: Any) -> str | None:
    """Why OpenAI's strict mode answers 400 to the schema, or None."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return "schema must be a JSON Schema of 'type: \"object\"', and no anyOf at the root."
    for path, node, depth in _nodes(schema):
        if depth > _OPENAI_DEPTH:
            return f"In context={path}, more than {_OPENAI_DEPTH} levels of nesting."
        if unknown := _OPENAI_UNKNOWN & node.keys():
            return f"In context={path}, '{min(unknown)}' is not permitted."
        if _is_object(node):
            if node.get("additionalProperties") is not False:
                return f"In context={path}, 'additionalProperties' is required to be false."
            if missing := set(node.get("properties", {})) - set(node.get("required", ())):
                return f"In context={path}, 'required' must include every key: '{min(missing)}'."
    return None


def anthropic_objection(schema: Any) -> str | None:
    """Why Anthropic's structured output answers 400 to the schema, or None."""
    if not isinstance(schema, dict):
        return "output_config.format.schema: Input should be a valid dictionary"
    objections = (_anthropic_node_objection(path, node) for path, node, _ in _nodes(schema))
    found = next(filter(None, objections), None) or _complexity(schema) or _recursion(schema)
    return found and f"output_config.format.schema: {found}"


def _anthropic_node_objection(path: str, node: Mapping[str, Any]) -> str | None:
    if unknown := _ANTHROPIC_UNKNOWN & node.keys():
        return f"{path}: '{min(unknown)}' is not supported"
    if node.get("minItems", 0) > 1:
        return f"{path}: 'minItems' other than 0 or 1 is not supported"
    if _is_object(node) and node.get("additionalProperties") is not False:
        return f"{path}: 'additionalProperties' must be explicitly set to false"
    return None


def _complexity(schema: Mapping[str, Any]) -> str | None:
    nodes = [node for _, node, _ in _nodes(schema)]
    optional = sum(
        len(node.get("properties", {}).keys() - set(node.get("required", ()))) for node in nodes
    )
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    if optional > _ANTHROPIC_OPTIONALS or unions > _ANTHROPIC_UNIONS:
        return f"too complex: {optional} optional, {unions} union-typed parameters"
    return None


def _recursion(schema: Mapping[str, Any]) -> str | None:
    """The objection to a schema that contains itself."""
    if "#" in _references(schema):
        return "the schema is recursive, which is not supported"
    reached = {
        f"#/$defs/{name}": _references(part) for name, part in schema.get("$defs", {}).items()
    }
    for start in reached:
        seen: set[str] = set()
        queue = set(reached[start])
        while queue:
            reference = queue.pop()
            seen.add(reference)
            queue |= reached.get(reference, set()) - seen
        if start in seen:
            return f"'{start}' is recursive, which is not supported"
    return None


def _references(schema: Any) -> set[str]:
    return {node["$ref"] for _, node, _ in _nodes(schema) if "$ref" in node}


def _is_object(node: Mapping[str, Any]) -> bool:
    kind = node.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _nodes(
    schema: Any, path: str = "()", depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Any], int]]:
    """Every sub-schema with its path and its depth of nested objects and arrays."""
    if not isinstance(schema, dict):
        return
    yield path, schema, depth
    for group in ("properties", "$defs", "definitions"):
        for name, part in schema.get(group, {}).items():
            deeper = depth + 1 if group == "properties" else depth
            yield from _nodes(part, f"{path}.{name}", deeper)
    for group in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for number, part in enumerate(schema.get(group, ())):
            yield from _nodes(part, f"{path}.{group}.{number}", depth)
    for name in ("items", "additionalProperties"):
        yield from _nodes(schema.get(name), f"{path}.{name}", depth + 1)
