"""The user's schema in each provider's dialect."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.schemas import normalise, schema_mistakes


def of(child: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """An object with one field."""
    return {"type": "object", "properties": {"x": child}, "required": ["x"] if required else []}


def field(schema: dict[str, Any], provider: str) -> Any:
    return normalise(schema, provider)["properties"]["x"]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_every_object_is_closed(provider: str) -> None:
    inner = {"type": "object", "properties": {"y": {"type": "string"}}}

    result = normalise(of({"type": "array", "items": inner}), provider)

    assert result["additionalProperties"] is False
    assert result["properties"]["x"]["items"]["additionalProperties"] is False


def test_openai_requires_every_key_and_makes_optional_ones_nullable() -> None:
    result = normalise(of({"type": "string", "description": "why"}, required=False), "openai")

    assert result["required"] == ["x"]
    assert result["properties"]["x"] == {
        "description": "why",
        "anyOf": [{"type": "string"}, {"type": "null"}],
    }


def test_a_field_that_may_be_null_gets_no_second_null() -> None:
    nullable = of({"type": ["integer", "null"]}, required=False)

    assert field(nullable, "openai") == {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def test_anthropic_keeps_optional_keys_optional() -> None:
    result = normalise(of({"type": "string"}, required=False), "anthropic")

    assert result["required"] == []
    assert result["properties"]["x"] == {"type": "string"}


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("child", "expected"),
    [
        (
            {"type": ["string", "integer"], "minimum": 1, "description": "d"},
            {"string", "integer"},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "boolean"}]}, {"string", "boolean"}),
        ({"enum": ["a", 1, None]}, {"string", "integer", "null"}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"string", "null"}),
    ],
    ids=["list of types", "oneOf", "mixed enum", "nullable enum"],
)
def test_several_types_become_any_of(
    provider: str, child: dict[str, Any], expected: set[str]
) -> None:
    branches = field(of(child), provider)["anyOf"]

    assert {branch["type"] for branch in branches} == expected


def test_what_is_not_enforced_is_told_to_the_model() -> None:
    child = {"type": "string", "maxLength": 80, "description": "A title"}

    assert field(of(child), "openai")["description"] == "A title (maxLength: 80)"
    assert field(of({"type": "integer", "minimum": 1}), "anthropic") == {
        "type": "integer",
        "description": "(minimum: 1)",
    }


def test_each_dialect_keeps_what_its_provider_enforces() -> None:
    number = {"type": "integer", "minimum": 1, "maximum": 5}
    day = {"type": "string", "format": "date"}

    assert field(of(number), "openai") == number
    assert field(of(day), "anthropic") == day
    assert "pattern" not in field(of({"type": "string", "pattern": "(?=x)"}), "openai")


def test_definitions_are_translated_and_their_references_kept() -> None:
    schema = of({"$ref": "#/definitions/p"}) | {"definitions": {"p": of({"const": "q"})}}

    result = normalise(schema, "anthropic")

    assert result["properties"]["x"] == {"$ref": "#/$defs/p"}
    assert result["$defs"]["p"]["properties"]["x"] == {"enum": ["q"], "type": "string"}


def test_plain_servers_get_the_schema_as_it_is() -> None:
    schema = of({"type": "string", "maxLength": 3}, required=False)

    assert normalise(schema, "local") == schema


def test_an_all_of_one_is_its_only_member() -> None:
    child = {"allOf": [{"type": "string", "description": "d"}], "maxLength": 4}

    assert field(of(child), "openai") == {"type": "string", "description": "d (maxLength: 4)"}


def test_values_of_every_kind_may_stand_in_an_enum() -> None:
    values = [True, 1, 1.5, "a", None]

    branches = field(of({"enum": values}), "openai")["anyOf"]

    kinds = [branch["type"] for branch in branches]
    assert kinds == ["boolean", "integer", "number", "string", "null"]


def test_an_optional_union_gets_null_as_one_more_branch() -> None:
    union = {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": "d"}

    result = field(of(union, required=False), "openai")

    assert [branch["type"] for branch in result["anyOf"]] == ["string", "integer", "null"]
    assert result["description"] == "d"


def test_the_users_schema_is_not_changed() -> None:
    schema = of({"type": ["string", "null"], "maxLength": 3}, required=False)
    before = repr(schema)

    normalise(schema, "openai")

    assert repr(schema) == before


leaves = st.sampled_from(
    [
        {"type": "string", "maxLength": 5},
        {"type": ["integer", "null"], "minimum": 0},
        {"enum": ["a", "b"]},
        {"type": "boolean", "description": "d"},
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
        {"const": 3},
    ]
)


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.sampled_from("abcd"), children, min_size=1)
    return properties.flatmap(
        lambda members: st.lists(st.sampled_from(sorted(members)), unique=True).map(
            lambda required: {"type": "object", "properties": members, "required": required}
        )
    )


schemas = _objects(
    st.recursive(
        leaves,
        lambda inner: _objects(inner) | inner.map(lambda items: {"type": "array", "items": items}),
        max_leaves=6,
    )
)


@given(schemas, st.sampled_from(["openai", "anthropic"]))
def test_a_whole_result_is_valid_in_every_dialect(schema: dict[str, Any], provider: str) -> None:
    value = _sample(schema)

    assert schema_mistakes(schema, provider) == []
    assert jsonschema_rs.is_valid(schema, value)
    assert jsonschema_rs.is_valid(normalise(schema, provider), value)


def _sample(schema: dict[str, Any]) -> Any:
    """A value with every field."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("type") == "object":
        return {name: _sample(child) for name, child in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_sample(schema["items"])]
    kind = schema.get("type")
    return {"string": "x", "boolean": True}.get(kind if isinstance(kind, str) else "", 1)
