"""Schema shorthand: what each form becomes, and what is refused."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.spec.jobs import load, mistakes, only_mistake

STRING = {"type": "string"}
NUMBER = {"type": "number"}
OBJECT = {"type": "object"}


def schema_of(*lines: str, variables: str = "vars: {}") -> dict[str, Any]:
    schema = load("schema:\n  " + "\n  ".join(lines), variables).steps[0].json_schema
    assert schema is not None
    return schema


def field_of(text: str) -> Any:
    return schema_of(f"x: {text}")["properties"]["x"]


@pytest.mark.parametrize(
    ("shorthand", "expected"),
    [
        ("[a, b]", {"type": "string", "enum": ["a", "b"]}),
        ("[1, 2, 3]", {"type": "integer", "enum": [1, 2, 3]}),
        ('["yes", "no"]', {"type": "string", "enum": ["yes", "no"]}),
        ("string", STRING),
        ("integer", {"type": "integer"}),
        ("number", {"type": "number"}),
        ("boolean", {"type": "boolean"}),
        ("list of string", {"type": "array", "items": STRING}),
        (
            "list of list of number",
            {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        ),
        ("list of [a, b]", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
        (
            "{type: string, description: One sentence}",
            {"type": "string", "description": "One sentence"},
        ),
        ("{type: [string, 'null']}", {"type": ["string", "null"]}),
        (
            "{type: integer, minimum: 0, maximum: 10}",
            {"type": "integer", "minimum": 0, "maximum": 10},
        ),
        ("{enum: [a, null, 1]}", {"enum": ["a", None, 1]}),
        ("{anyOf: [{type: string}, {type: 'null'}]}", {"anyOf": [STRING, {"type": "null"}]}),
        ("{const: 5}", {"const": 5}),
        (
            "{type: array, items: {type: string}, maxItems: 3}",
            {"type": "array", "items": STRING, "maxItems": 3},
        ),
        (
            "{type: object, properties: {a: {type: string}}}",
            {"type": "object", "properties": {"a": STRING}},
        ),
    ],
)
def test_each_form_becomes_json_schema(shorthand: str, expected: Any) -> None:
    assert field_of(shorthand) == expected


def test_a_map_without_keywords_is_a_nested_object_in_the_order_of_the_file() -> None:
    schema = schema_of("zeta: string", "author: {name: string, age?: integer}", "alpha?: boolean")

    assert schema == {
        "type": "object",
        "properties": {
            "zeta": STRING,
            "author": {
                "type": "object",
                "properties": {"name": STRING, "age": {"type": "integer"}},
                "required": ["name"],
                "additionalProperties": False,
            },
            "alpha": {"type": "boolean"},
        },
        "required": ["zeta", "author"],
        "additionalProperties": False,
    }
    assert list(schema["properties"]) == ["zeta", "author", "alpha"]


def test_a_result_field_may_be_called_type() -> None:
    assert list(schema_of("type: string", "parties: list of string")["properties"]) == [
        "type",
        "parties",
    ]
    assert field_of("{type: [bug, wish], title: string}")["properties"]["type"] == {
        "type": "string",
        "enum": ["bug", "wish"],
    }


def test_a_result_field_may_be_called_file() -> None:
    assert schema_of("file: string")["properties"] == {"file": STRING}


def test_a_full_object_schema_is_taken_as_it_is() -> None:
    full = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": STRING}}

    assert load(f"schema: {json.dumps(full)}").steps[0].json_schema == full


def test_a_schema_may_come_from_a_file_chosen_by_a_variable() -> None:
    full = {"type": "object", "properties": {"é": STRING}, "x-made-by": "a generator"}
    Path("legal.json").write_text(json.dumps(full))

    job = load("schema: {file: '{{ vars.kind }}.json'}", "vars: {kind: legal}")

    assert job.steps[0].json_schema == full
    assert field_of("{file: legal.json}") == full


def test_variables_are_filled_into_descriptions_and_values() -> None:
    schema = schema_of(
        "x: {type: string, description: 'The {{ vars.kind }} point'}",
        "y: ['{{ vars.kind }}', other]",
        variables="vars: {kind: legal}",
    )

    assert schema["properties"]["x"]["description"] == "The legal point"
    assert schema["properties"]["y"]["enum"] == ["legal", "other"]


def test_what_shorthand_makes_validates_answers() -> None:
    validator = jsonschema_rs.validator_for(schema_of("a: [x, y]", "b?: list of integer"))

    assert validator.is_valid({"a": "x", "b": [1]})
    assert not validator.is_valid({"a": "z"})
    assert not validator.is_valid({"a": "x", "c": 1})


@pytest.mark.parametrize(
    ("shorthand", "mistake"),
    [
        ("[yes, no]", 'a.yaml:5: schema.x[0]: YAML reads an unquoted yes as true: write "yes"'),
        (
            "[true, false]",
            'as a boolean: write "true", or boolean as the type',
        ),
        ("[a, 1]", "schema.x: mixes numbers and text: put quotes around the numbers"),
        ("[1.0, 2.0]", 'must be text or a whole number: write "1.0" for the text'),
        ("[a, null]", 'must be text or a whole number: write "null" for the text'),
        ("[a, a]", "schema.x: lists a value twice"),
        ("[]", "schema.x: must list at least one value"),
        ("[[a]]", "schema.x[0]: must be a word, not a list"),
        ("{}", "schema.x: must name at least one result field"),
        ("text", "schema.x: text is no type here: write string"),
        ("strng", '"strng" is no type; did you mean string?'),
        ("One sentence on it", "is no type: a description stands beside one"),
        ("list of texts", "schema.x"),
        ("", "schema.x: must be a type, not empty"),
        ("7", "schema.x: must be a type, and YAML reads an unquoted 7 as a number"),
        ("{type: strng}", '"strng" is no type of JSON Schema; did you mean string?'),
        ("{type: list of string, description: Tags}", "write {type: array, items: {type: string}}"),
        ("{type: string, name: string}", "schema.x.name: is no keyword of JSON Schema"),
        ("{type: string, minlength: 5}", "did you mean minLength?"),
        (
            "{type: array, items: {type: string, maxlength: 5}}",
            "x.items.maxlength: is no keyword",
        ),
        ("{anyOf: [{typo: string}]}", "schema.x.anyOf[0].typo: is no keyword"),
        ("{type: string, minLength: -1}", "schema.properties.x.minLength: is not JSON Schema"),
        ("{type: string, pattern: '['}", "schema.properties.x.pattern: is not JSON Schema"),
        ("{$ref: '#/$defs/nope'}", "is not JSON Schema"),
        (
            "{$ref: 'http://127.0.0.1:9/x.json'}",
            "x.$ref: must stay in this schema",
        ),
        ("{type: string, $schema: 'http://x'}", "schema.properties.x.$schema: is no known draft"),
        ("'{{ vars.x }}'", "schema.x"),
        ("{file: nope.json}", "nope.json is not there"),
    ],
)
def test_a_wrong_schema_is_told_with_its_place(shorthand: str, mistake: str) -> None:
    assert mistake in only_mistake(f"schema:\n  x: {shorthand}").replace("a.yaml:4", "a.yaml:5")


@pytest.mark.parametrize(
    ("schema", "mistake"),
    [
        (
            "schema: [a, b]",
            "must be a map of result fields, not a list: write `schema: {label",
        ),
        ("schema: string", "schema: must be a map of result fields"),
        ("schema: {a: string, a?: string}", "schema.a?: is given twice, with and without ?"),
        ("schema: {'?': string}", "schema.?: needs a name"),
        (
            "schema: {type: object, propertys: {}}",
            "schema.propertys: is no keyword",
        ),
    ],
)
def test_the_schema_itself_names_result_fields(schema: str, mistake: str) -> None:
    assert mistake in only_mistake(schema)


def test_all_wrong_fields_of_a_schema_are_told_at_once() -> None:
    assert len(mistakes("schema: {a: strng, b: [], c: {d: nope}}")) == 3


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        ("{", "x.json:1: is not JSON"),
        ('{"a": 1, "a": 2}', '"a" is given twice'),
        ('{"maximum": NaN}', "NaN is no JSON number"),
        ("[1]", "must hold one JSON Schema object"),
        ("[" * 5000 + "]" * 5000, "x.json"),
        ('{"items":' * 100 + "{}" + "}" * 100, "nested deeper than 50 levels"),
        ('{"type": "strng"}', "schema.type: is not JSON Schema"),
    ],
    ids=range(7),
)
def test_a_schema_file_that_is_none_is_told(content: str, mistake: str) -> None:
    Path("x.json").write_text(content)

    assert mistake in only_mistake("schema: {file: x.json}")
