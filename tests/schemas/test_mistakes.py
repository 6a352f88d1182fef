"""What check says of a schema before anything is sent."""

from typing import Any

import pytest

from batchai.schemas import schema_mistakes


def of(child: Any) -> dict[str, Any]:
    """An object with one required field."""
    return {"type": "object", "properties": {"x": child}, "required": ["x"]}


GOOD = of({"type": "array", "items": of({"type": ["string", "null"], "maxLength": 9})})


@pytest.mark.parametrize("provider", ["openai", "anthropic", "local"])
def test_a_usual_schema_has_no_mistakes(provider: str) -> None:
    assert schema_mistakes(GOOD, provider) == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"enum": ["a"]}, "top level must be `type: object`"),
        (of({"type": "strin"}), "schema.properties.x.type: is not valid JSON Schema"),
        (of({"type": "string", "pattern": "("}), "regex"),
        (of({"$ref": "#/$defs/none"}), "schema.properties.x.$ref: '#/$defs/none' is not in"),
        (of({"$ref": "https://example.com/s.json"}), "is not in this schema"),
    ],
    ids=["top level", "type", "pattern", "dangling", "external"],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "local"])
def test_mistakes_of_every_provider(provider: str, schema: dict[str, Any], words: str) -> None:
    (mistake,) = schema_mistakes(schema, provider)

    assert words in mistake


@pytest.mark.parametrize(
    ("child", "words"),
    [
        ({}, "says nothing about the value"),
        ({"type": "object"}, "without properties"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "open maps"),
        ({"type": "object", "properties": {}, "additionalProperties": True}, "open maps"),
        ({"type": "array"}, "what the list holds"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "what the list holds"),
        ({"allOf": [of({"type": "string"}), of({"type": "string"})]}, "allOf"),
    ],
    ids=["any", "empty object", "map", "open object", "list", "tuple", "allOf"],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_strict_providers_cannot_express(
    provider: str, child: dict[str, Any], words: str
) -> None:
    (mistake,) = schema_mistakes(of(child), provider)

    assert words in mistake
    assert "schema.properties.x" in mistake


def test_a_map_is_fine_where_plain_json_schema_is_taken() -> None:
    assert schema_mistakes(of({"type": "object", "additionalProperties": True}), "local") == []


def test_anthropic_counts_optional_fields_and_unions() -> None:
    optional = {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(25)}}
    names = [f"f{n}" for n in range(17)]
    union = {
        "type": "object",
        "properties": {name: {"type": ["string", "null"]} for name in names},
        "required": names,
    }

    assert ["25 optional fields" in one for one in schema_mistakes(optional, "anthropic")] == [True]
    assert ["17 fields with" in one for one in schema_mistakes(union, "anthropic")] == [True]
    assert schema_mistakes(optional, "openai") == schema_mistakes(union, "openai") == []


def test_openai_counts_levels_and_enum_values() -> None:
    deep: dict[str, Any] = of({"type": "string"})
    for _ in range(10):
        deep = of(deep)

    assert "levels of nesting" in schema_mistakes(deep, "openai")[0]
    assert "1,001 enum values" in schema_mistakes(of({"enum": list(range(1001))}), "openai")[0]


def test_recursion_is_refused_for_anthropic_alone() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    schema = of({"$ref": "#/$defs/node"}) | {"$defs": {"node": node}}

    assert "refers to itself" in schema_mistakes(schema, "anthropic")[0]
    assert schema_mistakes(schema, "openai") == []
