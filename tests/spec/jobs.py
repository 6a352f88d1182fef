"""Job files for tests: a minimal one, with fields added or replaced."""

from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.spec import Overrides, find_mistakes, load_job
from batchai.spec.models import Job

MINIMAL = {
    "input": "input: data.csv",
    "model": "model: anthropic/claude-haiku-4-5",
    "prompt": 'prompt: "Classify: {{ item.text }}"',
}
NO_OVERRIDES = Overrides()


def job_text(*fields: str) -> str:
    """A minimal job with these top-level fields; one of the same name replaces the minimal one."""
    given = {field.partition(":")[0]: field for field in fields}
    return "\n".join(({**MINIMAL, **given}).values()) + "\n"


def write_job(*fields: str, name: str = "a.yaml") -> Path:
    """Write a job into the current directory."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(job_text(*fields), encoding="utf-8")
    return path


def load(*fields: str, overrides: Overrides = NO_OVERRIDES) -> Job:
    """The loaded job of these fields."""
    return load_job(write_job(*fields), overrides=overrides)


def mistakes(*fields: str, overrides: Overrides = NO_OVERRIDES) -> list[str]:
    """All mistakes of a job of these fields."""
    return find_mistakes(write_job(*fields), overrides=overrides)


def only_mistake(*fields: str, overrides: Overrides = NO_OVERRIDES) -> str:
    """The one mistake of a job, which `load_job` raises alike."""
    path = write_job(*fields)
    found = find_mistakes(path, overrides=overrides)
    assert len(found) == 1, found
    with pytest.raises(SpecError) as caught:
        load_job(path, overrides=overrides)
    assert str(caught.value) == found[0]
    return found[0]
