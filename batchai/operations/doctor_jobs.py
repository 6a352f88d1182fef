"""What `batchai doctor` says of the jobs that it finds."""

import importlib.util
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from batchai.errors import BatchaiError
from batchai.operations.check import check
from batchai.operations.findings import Finding, Level
from batchai.operations.placing import models_of
from batchai.pricing import end_of_life
from batchai.providers import key_variables
from batchai.secrets import find_key
from batchai.spec import load_job
from batchai.spec.finding import job_files
from batchai.spec.loading import shown_path
from batchai.spec.models import Job, Model

_SOON_DAYS = 60
_FIELD = re.compile(r"(?m)^(input|model|prompt|schema|output|budget_usd)\s*:")
_MAX_BYTES = 1 << 20


def job_findings(folder: Path, *, today: date) -> Iterator[Finding]:
    """One line a job, and one for each model that ends soon. today: in UTC."""
    models: dict[str, str] = {}
    for path in job_files(folder):
        if not _looks_like_job(path):  # other tools have YAML files too
            continue
        name = shown_path(path)
        try:
            job = load_job(path)
            mistakes = list(check(job))
        except BatchaiError as error:
            yield Finding(Level.PROBLEM, name, _one_line(str(error)))
            continue
        yield _verdict(job, name, mistakes)
        for step in job.steps:
            for _, model in models_of(step):
                models.setdefault(model.name, name)
    for model_name, name in models.items():
        yield from _end(model_name, name, today)


def _looks_like_job(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    return len(set(_FIELD.findall(text))) >= 2


def _verdict(job: Job, name: str, mistakes: list[str]) -> Finding:
    if mistakes:
        more = f" (and {len(mistakes) - 1} more: batchai check)" if len(mistakes) > 1 else ""
        return Finding(Level.PROBLEM, name, _one_line(mistakes[0]) + more)
    asked = [model for step in job.steps for _, model in models_of(step)]
    for model in asked:
        missing = _missing(model, job.path.parent)
        if missing:
            return Finding(Level.WARNING, name, f"is in order, but {model.name} {missing}")
    models = ", ".join(dict.fromkeys(model.name for model in asked))
    return Finding(Level.OK, name, f"is in order, {models}")


def _missing(model: Model, folder: Path) -> str:
    """What a launch would miss; empty for nothing."""
    if model.provider == "local" and importlib.util.find_spec("xllamacpp") is None:
        return 'needs: pip install "batchai[local]"'
    names = key_variables(model)
    if names and find_key(names, folder) is None:
        return f"needs a key: set {' or '.join(names)} in the environment or in .env"
    return ""


def _end(model: str, name: str, today: date) -> Iterator[Finding]:
    end = end_of_life(model)
    if end is None:
        return
    days = (end - today).days
    remedy = f"choose another in {name} (batchai models)"
    if days < 0:
        yield Finding(Level.PROBLEM, model, f"ended on {end}; {remedy}")
    elif days <= _SOON_DAYS:
        when = "today" if days == 0 else f"in {days} day{'s' if days > 1 else ''}"
        yield Finding(Level.WARNING, model, f"ends {when}, on {end}; {remedy}")


def _one_line(text: str) -> str:
    return " ".join(text.split())
