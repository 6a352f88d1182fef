"""Whatever a file or an option holds, the loader answers with a job or with SpecError."""

import string
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchai.errors import SpecError
from batchai.spec import Overrides, find_mistakes, load_job
from batchai.spec.fields import JOB
from batchai.spec.kinds import Kind
from batchai.spec.sections import Section
from tests.spec.jobs import MINIMAL, job_text

QUICK = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = st.sampled_from(
    [
        "a",
        "NO",
        "yes",
        "012",
        "12:30",
        "1e3",
        ".inf",
        "2024-01-01",
        "~",
        "null",
        "true",
        "5",
        "-5",
        "0.5",
        "50%",
        "1h",
        "auto",
        "none",
        "retry",
        "fail",
        "live",
        "{{",
        "{{item.x}}",
        "${HOME}",
        "${X",
        "../..",
        "-",
        "*",
        "&",
        "!",
        "|",
        ">",
        "'",
        '"',
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "%",
        "@",
        "`",
        "string",
        "list_of",
        "[a]",
        "{a:b}",
    ]
)
TEXTS = WORDS | st.text(max_size=20) | st.text(string.printable, max_size=20)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.binary(max_size=5)
    | st.dates()
)


def names_of(kind: Kind) -> set[str]:
    if not isinstance(kind, Section):
        return set()
    inner = (names_of(field.kind) for field in kind.fields.values())
    return set(kind.fields).union(*inner, {"type", "enum", "file", "repair", "then", "grow"})


NAMES = st.sampled_from(sorted(names_of(JOB))) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def loads_or_says_why(overrides: Overrides) -> None:
    path = Path("a.yaml")
    mistakes = find_mistakes(path, overrides=overrides)
    try:
        load_job(path, overrides=overrides)
    except SpecError as error:
        assert str(error).startswith(mistakes[0])
        assert all(mistake.startswith(("a.yaml", "--")) for mistake in mistakes)
        assert not any("\n" in mistake or "validation error" in mistake for mistake in mistakes)
    else:
        assert mistakes == []


@QUICK
@given(
    st.binary(max_size=200) | TEXTS.map(str.encode) | st.lists(WORDS).map(" ".join).map(str.encode)
)
def test_any_bytes_are_a_job_or_a_spec_error(content: bytes) -> None:
    Path("a.yaml").write_bytes(content)

    loads_or_says_why(Overrides())


@QUICK
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_yaml_map_is_a_job_or_a_spec_error(content: dict[str, Any]) -> None:
    Path("a.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    loads_or_says_why(Overrides())


@QUICK
@given(st.sampled_from(sorted(JOB.fields)), VALUES)
def test_any_value_of_any_field_is_taken_or_refused(name: str, value: Any) -> None:
    given = {**{key: yaml.safe_load(text)[key] for key, text in MINIMAL.items()}, name: value}
    Path("a.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")

    loads_or_says_why(Overrides())


@QUICK
@given(
    st.lists(st.builds("{}={}".format, NAMES | st.text(), TEXTS), max_size=2),
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.none() | TEXTS,
)
def test_any_option_is_taken_or_refused(
    pairs: list[str], model: str | None, limit: str | None, budget: str | None
) -> None:
    Path("a.yaml").write_text(job_text())

    loads_or_says_why(
        Overrides(
            settings=tuple(pairs),
            variables=tuple(pairs),
            model=model,
            base_url=model,
            limit=limit,
            budget=budget,
        )
    )
