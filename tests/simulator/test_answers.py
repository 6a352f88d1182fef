"""Computed answers fit their schemas; plans and command lines say what they seem to say."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.simulator import (
    AccountLimits,
    Capacity,
    Fault,
    Latency,
    Neighbours,
    SimRequest,
    scripted,
    seeded,
)
from batchai.simulator.__main__ import settings_from
from batchai.simulator.answers import fitting
from batchai.simulator.protocols.schema_rules import anthropic_objection, openai_objection


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": closed(
            value={"type": "integer"},
            children={"type": "array", "items": {"$ref": "#/$defs/node"}},
            twin={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        )
    },
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "enum": closed(a={"enum": ["x", "y", 3, None]}),
    "const": closed(a={"const": {"deep": [1]}}),
    "bounded integers": closed(
        a={"type": "integer", "minimum": -3, "maximum": 3},
        b={"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
        c={"type": "integer", "maximum": -200},
        d={"type": "integer", "multipleOf": 7, "minimum": 8},
    ),
    "bounded numbers": closed(
        a={"type": "number", "minimum": 0.25, "maximum": 0.26},
        b={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        c={"type": "number", "multipleOf": 0.5, "minimum": -1.2, "maximum": 2},
    ),
    "strings": closed(
        a={"type": "string", "minLength": 30, "maxLength": 31},
        b={"type": "string", "maxLength": 1},
        c={"type": "string", "pattern": "^[A-Z]{2}\\d{2}$"},
        d={"type": "string", "format": "date-time"},
    ),
    "arrays": closed(
        a={"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
        b={"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        c={"type": "array", "items": closed(x={"type": "string"})},
        d={"type": "array", "prefixItems": [{"type": "null"}, {"type": "integer"}], "minItems": 2},
    ),
    "optional": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["b"],
    },
    "unions": closed(
        a={"type": ["string", "null"]},
        b={"anyOf": [{"type": "integer"}, {"type": "null"}]},
        c={"oneOf": [{"type": "string"}, closed(x={"type": "boolean"})]},
    ),
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ]
    },
    "recursive": TREE,
    "a list": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
    "untyped": {
        "properties": {"a": {"minimum": 3}, "b": {"items": {"const": 1}}},
        "required": ["a"],
    },
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@given(prompt=st.text(max_size=40))
def test_a_computed_answer_fits_its_schema(schema: dict[str, Any], prompt: str) -> None:
    value = fitting(schema, prompt=prompt)

    jsonschema_rs.validate(schema, value)
    assert fitting(schema, prompt=prompt) == value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 9, "maximum": 3},
        {"type": "number", "multipleOf": 5, "minimum": 9, "maximum": 3},
        {"type": "string", "minLength": 9, "maxLength": 3},
        {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 1},
    ],
    ids=["integer", "number", "string", "array"],
)
def test_a_schema_that_nothing_fits_is_answered_too(schema: dict[str, Any]) -> None:
    assert not jsonschema_rs.is_valid(schema, fitting(schema, prompt="as a model would"))


def test_enums_are_chosen_by_the_prompt() -> None:
    schema = {"enum": ["a", "b", "c"]}
    assert {fitting(schema, prompt=f"Item {n}") for n in range(50)} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("schema", "openai", "anthropic"),
    [
        (closed(a={"type": "string"}), None, None),
        (SCHEMAS["optional"], "additionalProperties", "additionalProperties"),
        ({**closed(a={"type": "string"}), "required": []}, "required", None),
        (closed(a={"type": "integer", "minimum": 1}), None, "minimum"),
        (closed(a={"type": "string", "default": ""}), "default", "default"),
        (closed(a={"type": "array", "items": {}, "minItems": 2}), None, "minItems"),
        ({"type": "array", "items": {"type": "string"}}, "type: \"object\"", None),
        ({"type": "object", "$defs": TREE["$defs"], **closed()}, None, "recursive"),
        (closed(a={"allOf": [{"type": "string"}]}), "allOf", None),
        (closed(**{f"p{n}": {"type": ["string", "null"]} for n in range(17)}), None, "complex"),
        ("no schema", "type: \"object\"", "dictionary"),
    ],
    ids=str,
)  # fmt: skip
def test_each_provider_objects_to_what_its_documentation_excludes(
    schema: Any, openai: str | None, anthropic: str | None
) -> None:
    for objection, word in ((openai_objection, openai), (anthropic_objection, anthropic)):
        said = objection(schema)
        assert (said is None) == (word is None), said
        assert word is None or word in str(said)


def request(prompt: str, attempt: int = 1) -> SimRequest:
    return SimRequest("openai", "m", prompt, None, None, None, (), {}, attempt=attempt)


def test_a_script_is_played_in_order_of_arrival_and_then_all_is_well() -> None:
    plan = scripted([Fault.AUTH, None, Fault.HANG])
    assert [plan(request("x"), n) for n in range(4)] == [Fault.AUTH, None, Fault.HANG, None]


def test_seeded_faults_meet_their_share_whatever_the_order() -> None:
    plan = seeded(7, {Fault.RATE_LIMITED: 0.1, Fault.HANG: 0.2})
    chosen = [plan(request(f"Item {n}"), n) for n in range(2000)]

    assert 150 < chosen.count(Fault.RATE_LIMITED) < 250
    assert 330 < chosen.count(Fault.HANG) < 470
    assert chosen == [plan(request(f"Item {n}"), 2000 - n) for n in range(2000)]
    assert chosen != [plan(request(f"Item {n}", attempt=2), n) for n in range(2000)]


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        seeded(1, {Fault.HANG: 0.7, Fault.AUTH: 0.7})


def test_the_command_line_sets_what_it_names() -> None:
    line = (
        "--port 8123 --latency 0.05 --sigma 0.3 --per-token 0.01 --seed 4 --rpm 60 --otpm 9 "
        "--window 2 --neighbours 0.5 --neighbour-tokens 7 --capacity 3 --beyond overloaded "
        "--fault rate_limited=1 --retry-after 0.5 --fixed-answer"
    )
    settings = settings_from(line.split())

    assert settings.port == 8123
    assert settings.latency == Latency(0.05, 0.3, 0.01, 4)
    assert settings.limits == AccountLimits(requests=60, output_tokens=9, window_seconds=2)
    assert settings.neighbours == Neighbours(0.5, 7, 4)
    assert settings.capacity == Capacity(3, "overloaded")
    assert settings.faults(request("x"), 0) is Fault.RATE_LIMITED
    assert (settings.retry_after_seconds, settings.fixed_answer) == (0.5, "ok")


def test_a_command_line_without_limits_sets_none() -> None:
    assert settings_from([]).limits is None


def test_an_unknown_fault_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        settings_from(["--fault", "gremlins=1"])
    assert "rate_limited" in capsys.readouterr().err
