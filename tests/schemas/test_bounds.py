"""The default max_tokens, and the columns of a result."""

from typing import Any

import pytest

from batchai.schemas import (
    default_max_tokens,
    output_token_bound,
    result_fields,
    typical_output_tokens,
)


def of(child: dict[str, Any]) -> dict[str, Any]:
    """An object with one field."""
    return {"type": "object", "properties": {"x": child}}


def test_text_gets_1024_tokens_and_reasoning_4096_more() -> None:
    assert default_max_tokens(None, None) == 1024
    assert default_max_tokens(None, "none") == 1024
    assert default_max_tokens(None, "high") == 1024 + 4096


def test_a_small_schema_gets_256_tokens() -> None:
    assert default_max_tokens(of({"enum": ["yes", "no"]}), None) == 256


def test_a_schema_gets_twice_its_bound() -> None:
    schema = of({"type": "string"})

    assert default_max_tokens(schema, None) == 2 * output_token_bound(schema) > 256


def test_the_default_stays_below_what_must_be_streamed() -> None:
    schema = of({"type": "array", "items": of({"type": "string"}), "maxItems": 10_000})

    assert default_max_tokens(schema, "high") < 21_333


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ({"type": "boolean"}, {"type": "string"}),
        ({"type": "string", "maxLength": 10}, {"type": "string"}),
        ({"type": "string"}, {"type": "string", "maxLength": 4000}),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 2}, {"type": "array"}),
        ({"enum": ["a"]}, {"enum": ["a" * 300]}),
        ({"type": "string", "format": "date"}, {"type": ["string", "null"]}),
        ({"$ref": "#/properties/x"}, {"type": "array", "items": {"$ref": "#"}}),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, of({"type": "string"})),
        ({"allOf": [{"type": "integer"}]}, {"type": "object"}),
    ],
)
def test_the_bound_follows_the_schema(smaller: dict[str, Any], larger: dict[str, Any]) -> None:
    assert output_token_bound(of(smaller)) < output_token_bound(of(larger))


def test_the_columns_are_the_top_level_names_in_order() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": of({})}}

    assert result_fields(schema) == ("b", "a")
    assert result_fields(None) == ("result",)


@pytest.mark.parametrize(
    ("schema", "least", "most"),
    [
        (None, 100, 200),
        (of({"enum": ["positive", "neutral", "negative"]}), 8, 16),
        (of({"type": "string"}), 20, 50),
        (of({"type": "string", "maxLength": 8}), 8, 20),
        (of({"type": "array", "items": of({"type": "string"}), "maxItems": 50}), 60, 180),
    ],
    ids=["text", "choice", "sentence", "word", "list"],
)
def test_what_is_typical_is_far_from_the_bound(
    schema: dict[str, Any] | None, least: int, most: int
) -> None:
    assert least <= typical_output_tokens(schema) <= most
    if schema is not None:
        assert typical_output_tokens(schema) < output_token_bound(schema)
