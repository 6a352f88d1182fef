"""Which columns a result has."""

from batchai.schemas.walking import Schema

TEXT_FIELD = "result"


def result_fields(schema: Schema | None) -> tuple[str, ...]:
    """Top-level names in the schema's order; `result` alone for plain text."""
    if schema is None:
        return (TEXT_FIELD,)
    return tuple(schema.get("properties", ())) or (TEXT_FIELD,)
