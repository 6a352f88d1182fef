"""Reading answers: what is a result, and what is said of the others."""

from typing import Any

import pytest

from batchai.schemas import AnswerSchema

FEEDBACK = {
    "type": "object",
    "properties": {
        "sentiment": {"enum": ["positive", "neutral", "negative"]},
        "note": {"type": "string"},
        "score": {"type": ["integer", "null"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "required": ["sentiment"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["Bug", "Price"]}},
}


@pytest.mark.parametrize(
    "text",
    [
        '{"sentiment": "positive"}',
        '  {"sentiment": "positive"}\n',
        '```json\n{"sentiment": "positive"}\n```',
        '```\n{"sentiment": "positive"}```',
        'Here it is:\n\n```json\r\n{"sentiment": "positive"}\r\n```\nAnything else?',
    ],
    ids=["bare", "padded", "fenced", "fence without a language", "prose around a fence"],
)
def test_json_is_found_with_or_without_a_fence(text: str) -> None:
    reading = AnswerSchema(FEEDBACK).read(text)

    assert (reading.value, reading.problem) == ({"sentiment": "positive"}, None)


def test_without_a_schema_every_text_is_the_result() -> None:
    assert AnswerSchema(None).read("```x```").value == "```x```"


def test_nulls_of_optional_fields_are_dropped_unless_the_schema_allows_null() -> None:
    text = '{"sentiment": "neutral", "note": null, "score": null, "tags": null}'

    reading = AnswerSchema(FEEDBACK).read(text)

    assert reading.value == {"sentiment": "neutral", "score": None}
    assert reading.problem is None


def test_enum_values_are_brought_to_the_casing_of_the_schema() -> None:
    reading = AnswerSchema(FEEDBACK).read('{"sentiment": "Positive", "tags": ["bug", "PRICE"]}')

    assert reading.value == {"sentiment": "positive", "tags": ["Bug", "Price"]}
    assert reading.problem is None


def test_an_enum_that_differs_by_case_alone_is_not_guessed_at() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": ["us", "US"]}}}

    assert AnswerSchema(schema).read('{"x": "Us"}').problem


def test_nulls_and_casing_are_tidied_in_the_fitting_alternative() -> None:
    cat = {
        "type": "object",
        "properties": {"purrs": {"enum": ["Yes", "No"]}, "name": {"type": "string"}},
        "required": ["purrs"],
    }
    dog = {"type": "object", "properties": {"barks": {"type": "boolean"}}, "required": ["barks"]}
    schema = {"type": "object", "properties": {"pet": {"anyOf": [dog, cat]}}}

    reading = AnswerSchema(schema).read('{"pet": {"purrs": "yes", "name": null}}')

    assert (reading.value, reading.problem) == ({"pet": {"purrs": "Yes"}}, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("I cannot say.", "begins with 'I cannot say.'"),
        ('{"sentiment": "positive"', "line 1, column 25"),
        ('{"sentiment": NaN}', "NaN"),
        ('{"score": -Infinity}', "Infinity"),
        ('{"score": 1e999}', "too large"),
        ('{"score": ' + "9" * 5000 + "}", "5,000 digits"),
        ('{"score": 1, "score": 2}', "'score' twice"),
        ("[" * 100_000, "nested more than"),
        ('{"note": ' + "[" * 200 + "]" * 200 + "}", "nested more than"),
        ('{"note": "x"}', '"sentiment" is a required property'),
        ('{"sentiment": "awful"}', "sentiment = 'awful': value is not one of"),
        ('{"sentiment": "positive", "mood": 1}', "'mood' was unexpected"),
        ('{"sentiment": "positive", "tags": ["Bug", 3]}', "tags.1 = 3: value is not one of"),
        ("[]", 'the answer: value is not of type "object"'),
    ],
    ids=lambda value: value[:24],
)
def test_a_problem_names_place_and_reason(text: str, words: str) -> None:
    problem = AnswerSchema(FEEDBACK).read(text).problem

    assert problem is not None
    assert words in problem
    assert "\n" not in problem


def test_a_problem_never_repeats_a_long_answer() -> None:
    many = ", ".join(f'"tag {n}"' for n in range(50))
    text = f'{{"sentiment": "{"x" * 5000}", "tags": [{many}]}}'

    problem = AnswerSchema(FEEDBACK).read(text).problem

    assert problem is not None
    assert len(problem) < 800
    assert "xxxx" not in problem
    assert problem.endswith("and more")


def test_integers_of_any_size_are_kept_exactly() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}

    assert AnswerSchema(schema).read('{"n": 18446744073709551617}').value == {"n": 2**64 + 1}


def test_lone_surrogates_are_replaced() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "array"}}}

    reading = AnswerSchema(schema).read(r'{"n": ["a\ud83d", "\ud83d\ude00"], "\udc00": 1}')

    assert reading.value == {"n": ["a�", "😀"], "�": 1}
    assert reading.problem is None


def test_formats_are_checked() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}

    assert AnswerSchema(schema).read('{"day": "2026-02-30"}').problem
    assert AnswerSchema(schema).read('{"day": "2026-02-28"}').problem is None


def test_nothing_is_fetched_for_a_reference() -> None:
    with pytest.raises(ValueError, match="nothing is fetched"):
        AnswerSchema({"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:9/x"}}})
