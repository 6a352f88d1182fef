"""A model whose key is missing: the field that asks it, and a remedy that works."""

import asyncio
import re
from pathlib import Path

import pytest

from batchai.errors import ProviderError
from batchai.operations.check import check
from batchai.operations.opening import key_names, provider_for, providers_of
from batchai.spec import Overrides, load_job
from batchai.spec.models import Job

CASCADE = """\
input: {path: data.csv, key: id}
model: openai/gpt-6-luna
schema: {sure: boolean}
prompt: "{{ item.text }}"
escalate:
  if: not result.sure
  model: anthropic/claude-sonnet-5-5
"""
FALLBACK = """\
input: {path: data.csv, key: id}
model: openai/gpt-6-luna
steps:
  one:
    prompt: "{{ item.text }}"
    fallback: [openai/gpt-5.4, anthropic/claude-sonnet-5-5]
"""
SHARED = """\
input: {path: data.csv, key: id}
model: openai/gpt-6-luna
fallback: anthropic/claude-sonnet-5-5
steps:
  one:
    prompt: "{{ item.text }}"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "k" * 40)
    Path("data.csv").write_text("id,text\n1,a\n")


def job_of(text: str, *settings: str, model: str | None = None) -> Job:
    Path("job.yaml").write_text(text)
    return load_job(Path("job.yaml"), overrides=Overrides(model=model, settings=settings))


def refusal(job: Job) -> str:
    """What opening all the job's providers says; empty where none lacks a key."""

    async def open_all() -> None:
        async with providers_of(job, provider_for):
            pass

    try:
        asyncio.run(open_all())
    except ProviderError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "place", "setting"),
    [
        (CASCADE, "job.yaml:7: escalate.model: anthropic/claude-sonnet-5-5", "escalate.model"),
        (FALLBACK, "job.yaml:6: steps.one.fallback.models[1]: ", "steps.one.fallback.models"),
        (SHARED, "job.yaml:3: fallback.models[0]: anthropic/claude-", "fallback.models"),
    ],
    ids=["escalate", "fallback", "fallback of the job"],
)
@pytest.mark.parametrize("model", [None, "openai/gpt-5.4-mini"], ids=["own", "another"])
def test_the_field_is_told_and_what_is_recommended_works(
    text: str, place: str, setting: str, model: str | None
) -> None:
    told = refusal(job_of(text, model=model))

    assert told.startswith(place)
    assert "set ANTHROPIC_API_KEY in the environment or in a .env file" in told
    found = re.search(r"\(or --set (\S+); without an account: --model (\S+)\)$", told)
    assert found is not None
    assert found[1] == f"{setting}={model or 'openai/gpt-6-luna'}"
    assert refusal(job_of(text, found[1], model=model)) == ""
    assert key_names(job_of(text, model=found[2])) == ()


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        (CASCADE, "escalate.model"),
        (FALLBACK, "steps.one.fallback.models"),
        (SHARED, "fallback.models"),
    ],
    ids=["escalate", "fallback", "fallback of the job"],
)
def test_a_model_that_was_given_is_not_recommended(text: str, setting: str) -> None:
    """A local model leads on by itself; where the command line names another, that is told."""
    job = job_of(text, f"{setting}=anthropic/claude-sonnet-5-5", model="local/smollm2-135m")

    told = refusal(job)

    assert told.startswith(f"--set {setting}: ")
    assert told.endswith(f"(or --set {setting}=local/smollm2-135m)")


def test_the_job_s_own_model_can_be_left_for_a_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    told = refusal(job_of(CASCADE))

    assert told.startswith("job.yaml:2: model: openai/gpt-6-luna needs a key: set OPENAI_API_KEY")
    assert told.endswith("(or without an account: --model local/smollm2-135m)")
    assert list(check(job_of(CASCADE, model="local/smollm2-135m"))) == []
