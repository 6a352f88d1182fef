"""`checks:` of the job file: what is read, and what is told of mistakes."""

from pathlib import Path

import pytest

from batchai.spec import editor_schema, find_mistakes
from batchai.spec.models import Function, Holds
from tests.spec.jobs import load, only_mistake

SCHEMA = "schema: {total: integer}"


def test_a_check_is_an_expression_or_a_function(folder: Path) -> None:
    (folder / "checks.py").write_text("def total(result, item): ...\n")
    (step,) = load(SCHEMA, "checks: [result.total > 0, checks.py:total]").steps

    expression, function = step.checks
    assert expression == Holds(expression="result.total > 0")
    assert isinstance(function, Function)
    assert (function.path, function.function) == (folder / "checks.py", "total")


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("result.totl > 0", "did you mean total"),
        ("result.total >", "unexpected"),
        ("itm.text", "`itm` is unknown"),
        ("checks.py:totl", "did you mean total"),
        ("checks.py:", "has no function"),
        ("nowhere.py:total", "cannot be read"),
        ("../outside.py:total", "lies outside"),
        ("broken.py:total", "broken.py:1 is not Python"),
    ],
)
def test_a_wrong_check_is_told_with_its_place(folder: Path, check: str, words: str) -> None:
    (folder / "checks.py").write_text("def total(result, item): ...\n")
    (folder / "broken.py").write_text("def total(:\n")

    told = only_mistake(SCHEMA, f'checks: ["{check}"]')

    assert told.startswith("a.yaml:")
    assert "checks" in told
    assert words in told


def test_checks_stand_in_a_step_where_there_are_steps(folder: Path) -> None:
    (folder / "b.yaml").write_text(
        "input: data.csv\nmodel: openai/m\nchecks: result == 'x'\nsteps: {one: {prompt: hello}}\n"
    )

    (told,) = find_mistakes(folder / "b.yaml")

    assert "b.yaml:3: checks: belongs to a step" in told


def test_editors_know_checks() -> None:
    schema = editor_schema()
    assert "checks" in schema["properties"]
    assert "checks" in schema["properties"]["steps"]["additionalProperties"]["properties"]
