"""Strict YAML: what is refused, with its line, and what the words mean."""

from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.spec import find_mistakes, load_job
from batchai.spec.document import MAX_BYTES, Place, parse_document
from batchai.spec.scalars import json_value
from tests.spec.jobs import job_text, load, only_mistake, write_job


def mistake_of(text: str) -> str:
    Path("a.yaml").write_text(text, encoding="utf-8")
    (mistake,) = find_mistakes(Path("a.yaml"))
    return mistake


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nname: b\n", "a.yaml:2: name: is given twice (first in line 1)"),
        (
            "limits:\n  concurrency: 1\n  concurrency: 2\n",
            "a.yaml:3: limits.concurrency: is given twice",
        ),
        ("name: &x a\n", "a.yaml:1: anchors and aliases"),
        ("name: a\nvars: *x\n", "a.yaml:2: anchors and aliases"),
        ("vars:\n  <<: {a: 1}\n", "a.yaml:2: vars: merges"),
        ("name: !!python/object:os.system x\n", "a.yaml:1: tags (!) are not allowed"),
        ("name: ! x\n", "a.yaml:1: tags (!) are not allowed"),
        ("name: a\n---\nname: b\n", "a.yaml:2: a second document"),
        ("prompt: {{ item.text }}\n", "a.yaml:1: prompt: a field name must be a word; put quotes"),
        ("? [a]\n: b\n", "a.yaml:1: a field name must be a word"),
        ("a: 1\n\tb: 2\n", "a.yaml:2: is not YAML"),
        ("a: b: c\n", "a.yaml:1: is not YAML: mapping values are not allowed"),
        ("a: 'b\n", "is not YAML"),
        ("a: \0b\n", "is not YAML: control characters"),
        ("- a\n- b\n", "a.yaml: must be a map of fields such as `model: …`, not a list"),
        ("path: -", 'put quotes around a dash: `path: "-"`'),
        ("", "a.yaml: must be a map of fields such as `model: …`, not nothing"),
        ("vars: " + "[" * 60 + "]" * 60, "a.yaml:1: is nested deeper than 50 levels"),
        ("[" * 100_000, "is nested deeper than 50 levels"),
        ("#" * (MAX_BYTES + 1), "a.yaml: is larger than 1 MiB"),
    ],
    ids=lambda value: value[:24],
)
def test_yaml_beyond_the_strict_part_is_refused_with_its_line(text: str, expected: str) -> None:
    mistake = mistake_of(text)

    assert expected in mistake
    assert mistake.startswith("a.yaml")


def test_a_file_that_is_not_utf_8_is_refused_with_the_line() -> None:
    Path("a.yaml").write_bytes(b"name: a\nvars: {a: \xff}\n")

    (mistake,) = find_mistakes(Path("a.yaml"))

    assert "is not UTF-8 in line 2" in mistake


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    Path("a.yaml").write_bytes(b"\xef\xbb\xbf" + job_text().encode())

    assert load_job(Path("a.yaml")).name == "a"


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("NO", "false"),
        ("yes", "true"),
        ("on", "true"),
        ("Off", "false"),
        ("012", "10"),
        ("08", "a number"),
        ("12:30", "750"),
        ("0x10", "16"),
        ("0b101", "5"),
        ("0b_", "a int"),
        ("0o17", "a number"),
        ("1_000", "1000"),
        ("1e3", "a number"),
        ("1.0e+3", "1000.0"),
        ("+5", "5"),
        ("5.", "5.0"),
        (".inf", "inf"),
        ("-.INF", "-inf"),
        (".NaN", "nan"),
        ("2024-01-31", "a timestamp"),
        ("2024-99-99", "a timestamp"),
        ("=", "a value"),
    ],
)
def test_a_word_that_yaml_converts_is_refused_everywhere(word: str, meaning: str) -> None:
    expected = f'YAML reads an unquoted {word} as {meaning}: write "{word}"'

    assert f"a.yaml:4: vars.x: {expected}" in only_mistake(f"vars: {{x: {word}}}")
    assert f"a.yaml:4: schema.x[0]: {expected}" in only_mistake(f"schema: {{x: [{word}, other]}}")
    assert f"a.yaml:1: input.key: {expected}" in only_mistake(
        f"input: {{path: data.csv, key: {word}}}"
    )


@pytest.mark.parametrize("word", ["NO", "012", "12:30", "1e3", "2024-01-31", "null", "true", "7"])
def test_a_quoted_word_is_text(word: str) -> None:
    assert load(f"vars: {{x: \"{word}\", y: '{word}'}}").vars == {"x": word, "y": word}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-12", -12),
        ("0", 0),
        ("1.50", 1.5),
        (".5", 0.5),
        ("50%", "50%"),
        ("none", "none"),
        ("y", "y"),
        ("a: [1, {b: x}]", {"a": [1, {"b": "x"}]}),
    ],
)
def test_what_all_readers_of_yaml_agree_on_is_taken(text: str, value: object) -> None:
    found = json_value(parse_document(text, place=Place("f", Path())))

    assert found == value
    assert type(found) is type(value)


def test_a_text_field_tells_a_number_from_text() -> None:
    assert only_mistake("name: 2024") == (
        "a.yaml:4: name: must be a name of letters, digits, space, . _ and -, and YAML reads an "
        'unquoted 2024 as a number: write "2024"'
    )


def test_lines_are_those_of_the_field_also_in_nested_blocks() -> None:
    path = write_job("limits:\n  # slow\n  requests_per_minute: 50x\n")

    assert find_mistakes(path) == [
        'a.yaml:6: limits.requests_per_minute: must be a whole number above 0, not "50x"'
    ]


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    mistake = only_mistake('"na\\e[31mme": x')

    assert "\x1b" not in mistake


def test_a_job_that_is_not_there_is_told_by_name() -> None:
    with pytest.raises(SpecError, match=r"^jobs/x\.yaml: is not there"):
        load_job(Path("jobs/x.yaml"))
    Path("jobs").mkdir()
    with pytest.raises(SpecError, match=r"^jobs: is a folder"):
        load_job(Path("jobs"))


def test_a_path_that_no_file_can_have_is_told() -> None:
    assert "is no usable path: " in find_mistakes(Path("x" * 300 + ".yaml"))[0]
    assert find_mistakes(Path("a\0b.yaml"))[0].startswith("a·b.yaml: is not there")
