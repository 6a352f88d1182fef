"""Mistakes that show only once a job is put together name the line they stand on."""

import re
from pathlib import Path

import pytest

from batchai.operations.check import check
from batchai.spec import load_job

JOB = """\
input: {path: data.csv, key: id}
model:
  name: anthropic/claude-haiku-4-5
  max_tokens: 512
prompt: {user: '{{ item.text }}'}
"""


def found(folder: Path, text: str) -> list[str]:
    (folder / "data.csv").write_text("id,text\n1,a\n")
    (folder / "job.yaml").write_text(text)
    return list(check(load_job(folder / "job.yaml")))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            JOB.replace("512", "900000"),
            r"job\.yaml:4: model\.max_tokens",
            "writes at most 64,000 tokens in one answer; write 64000 or less",
        ),
        (
            JOB + "on_truncated:\n  grow: 10\n",
            r"job\.yaml:7: on_truncated\.grow",
            "10 is no more than the 512 tokens",
        ),
        (
            JOB + "fallback: [openai/gpt-5.4-mini, {name: openai/gpt-4o, max_tokens: 20000}]\n",
            r"job\.yaml:6: fallback\.models\[1\]\.max_tokens",
            "gpt-4o writes at most 16,384 tokens",
        ),
        (
            JOB.replace("prompt:", "steps:\n  one:\n    model: {temperature: 2}\n    prompt:"),
            r"job\.yaml:7: steps\.one\.model\.temperature",
            "Anthropic takes 0 to 1",
        ),
        (
            JOB.replace("haiku-4-5", "hauku-4-5"),
            "",
            "did you mean anthropic/claude-haiku-4-5?",
        ),
    ],
    ids=["max_tokens", "grow", "fallback", "step", "unknown model"],
)
def test_a_mistake_is_told_with_line_field_and_remedy(
    tmp_path: Path, text: str, line: str, words: str
) -> None:
    (mistake,) = found(tmp_path, text)

    assert re.search(line, mistake)
    assert words in mistake


def test_a_bound_that_lets_answers_grow_is_fine(tmp_path: Path) -> None:
    assert found(tmp_path, JOB + "on_truncated: {grow: 1024}\n") == []
    assert found(tmp_path, JOB.replace("512", "8000")) == []  # the default bound says nothing


@pytest.mark.parametrize(
    ("limit", "needed"),
    [
        ("input_tokens_per_minute: 100", "250"),
        ("tokens_per_minute: 700", "762"),
        ("input_tokens_per_day: 100", "250"),
        ("tokens_per_day: 700", "762"),
    ],
)
def test_a_request_that_no_window_can_admit_is_told_with_its_row(
    tmp_path: Path, limit: str, needed: str
) -> None:
    found(tmp_path, JOB + f"limits: {{{limit}}}\n")
    (tmp_path / "data.csv").write_text(f"id,text\n1,a\n2,{'x' * 1000}\n")
    (mistake,) = check(load_job(tmp_path / "job.yaml"), every_item=True)
    assert "data.csv:3: limits." in mistake
    assert f"{limit.split(':')[0]}: its request needs about {needed} tokens" in mistake
    assert mistake.endswith("raise the limit or shorten the item")


@pytest.mark.parametrize(
    ("file", "query", "words"),
    [
        ("nowhere.db", "SELECT 1", "query on .*nowhere.db: no such file: nowhere.db$"),
        ("shop.db", "SELECT 1 FROM t", "query on .*shop.db: no such table: t$"),
        ("data.csv", "SELECT 1 FROM t", "query on .*data.csv: file is not a database$"),
        ("shop.db", "DROP TABLE t", "query: must be a SELECT"),
    ],
    ids=["no file", "no table", "no database", "no question"],
)
def test_a_database_that_does_not_answer_is_told_with_job_and_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, query: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.db").touch()
    source = f"{{sql: {{url: 'sqlite:///{file}', query: {query}}}}}"

    (mistake,) = found(tmp_path, JOB.replace("{path: data.csv, key: id}", source))

    assert re.match(rf"job\.yaml: input\.sql: {words}", mistake)
