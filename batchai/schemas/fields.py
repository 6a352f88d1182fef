"""Which columns a result has, and which of them hold one of few values."""

from typing import Any

from batchai.schemas.walking import Schema, children, types_of

TEXT_FIELD = "result"


def result_fields(schema: Schema | None) -> tuple[str, ...]:
    """Top-level names in the schema's order; `result` alone for plain text."""
    if schema is None:
        return (TEXT_FIELD,)
    return tuple(schema.get("properties", ())) or (TEXT_FIELD,)


def closed_fields(schema: Schema | None) -> tuple[str, ...]:
    """The fields of a result whose values can be equal: those without text of the model's own."""
    if schema is None:
        return ()
    properties = schema.get("properties", {})
    if not properties:
        return () if _holds_text(schema) else (TEXT_FIELD,)
    return tuple(name for name, inner in properties.items() if not _holds_text(inner))


def _holds_text(schema: Any) -> bool:
    """What a reference leads to is not looked at, and may be text."""
    if not isinstance(schema, dict) or "enum" in schema or "const" in schema:
        return False
    if "string" in types_of(schema) or "$ref" in schema:
        return True
    return any(_holds_text(child) for _, child in children(schema))
