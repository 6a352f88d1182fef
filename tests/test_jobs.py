"""The sample jobs and data: jobs check clean on their own and the local model, data is sound."""

import asyncio
import csv
import json
import re
import shutil
from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest

import batchai
from batchai.documents import text_of
from batchai.documents.inspection import inspect
from batchai.domain import State
from batchai.operations.check import check
from batchai.operations.placing import models_of
from batchai.operations.rehearse import rehearse
from batchai.operations.run import RunOptions, RunSummary, run_job
from batchai.simulator import Settings, Simulator
from batchai.spec import Overrides, load_job

ROOT = Path(batchai.__file__).parents[1]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.yaml"))
VARIABLES = {("invoices", True): ("kinds=[pdf]",)}  # the local model takes no pictures
KINDS = ("general", "financial", "technical", "custom")
LOCAL = "local/smollm2-135m"


def rows_of(name: str) -> list[dict[str, str]]:
    with (ROOT / "data" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Jobs and data as in a fresh checkout, with a line of what data/fetch.py brings."""
    folder = tmp_path_factory.mktemp("project")
    leftovers = shutil.ignore_patterns(".batchai", ".env", "fetched", "__pycache__")
    for name in ("jobs", "data"):
        shutil.copytree(ROOT / name, folder / name, ignore=leftovers)
    (folder / "data/fetched").mkdir()
    (folder / "data/fetched/amazon_reviews.csv").write_text(
        "review_id,score,text,gold_sentiment\n1_1,2.5,works well.,positive\n"
    )
    return folder


@pytest.mark.parametrize("model", [None, LOCAL], ids=["own model", "local model"])
@pytest.mark.parametrize("name", JOBS)
def test_every_job_renders_all_its_items(
    name: str, model: str | None, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    overrides = Overrides(model=model, variables=VARIABLES.get((name, model == LOCAL), ()))
    job = load_job(project / f"jobs/{name}.yaml", overrides=overrides)
    assert list(check(job, every_item=True)) == []
    assert model is None or {
        used.provider for step in job.steps for _, used in models_of(step)
    } == {"local"}


@pytest.mark.parametrize("name", JOBS)
def test_every_job_comes_to_its_end_on_the_simulator(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    job = load_job(project / f"jobs/{name}.yaml", overrides=Overrides(limit=4))
    found = rehearse(job)

    assert found.run.exit_code == 0
    assert found.run.counts.keys() == {State.SUCCEEDED}
    assert found.served.requests >= sum(found.run.counts.values())
    assert found.run.export is not None
    assert found.run.export.path.stat().st_size > 100


@pytest.mark.parametrize("kind", KINDS)
def test_documents_are_asked_what_their_kind_asks(
    kind: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    overrides = Overrides(variables=(f"kind={kind}",))
    job = load_job(project / "jobs/documents.yaml", overrides=overrides)
    [step] = job.steps
    assert list(check(job, every_item=True)) == []
    assert step.json_schema is not None
    assert step.prompt.user is not None
    fields = step.json_schema["required"]
    assert kind == "custom" or all(f"{field}:" in step.prompt.user for field in fields)


def test_feedback_is_sound() -> None:
    rows = rows_of("feedback.csv")
    labels = Counter(row["gold_sentiment"] for row in rows)
    assert len(rows) >= 240
    assert len({row["feedback_id"] for row in rows}) == len(rows)
    assert labels.keys() == {"positive", "negative"}
    assert min(labels.values()) > 0.4 * len(rows)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
    assert all(date.fromisoformat(row["date"]) and row["text"].strip() for row in rows)


def test_no_two_pieces_of_feedback_are_nearly_the_same() -> None:
    texts = [row["text"] for row in rows_of("feedback.csv")]
    bags = [words_of(text) for text in texts]
    close = [
        (texts[i], texts[j])
        for i, j in combinations(range(len(texts)), 2)
        if len(bags[i] & bags[j]) > 0.6 * len(bags[i] | bags[j])
    ]
    assert close == []


def test_feedback_has_what_real_files_have() -> None:
    texts = [row["text"] for row in rows_of("feedback.csv")]
    for mark in (",", '"', "\n", "é", "🎉"):
        assert any(mark in text for text in texts), mark
    assert min(map(len, texts)) < 20
    assert max(map(len, texts)) > 400


def test_customers_are_sound_and_their_segment_follows_the_rule() -> None:
    rows = rows_of("customers.csv")
    assert len(rows) >= 60
    assert len({row["customer_id"] for row in rows}) == len(rows)
    assert all(row["email"].endswith("@example.com") for row in rows)
    for row in rows:
        spend = float(row["monthly_spend"])
        rule = "high_value" if spend > 1000 else "mid_market" if spend >= 200 else "small_business"
        assert row["gold_segment"] == rule, row


def test_documents_have_the_promised_length() -> None:
    files = [*(ROOT / "data/documents").glob("*.md"), *(ROOT / "data/documents").glob("*.txt")]
    lengths = [len(path.read_text(encoding="utf-8").split()) for path in files]
    assert 9 <= len(files) <= 12
    assert min(lengths) >= 200
    assert max(lengths) <= 700


def test_mails_are_sound_and_of_every_kind() -> None:
    rows = rows_of("mails.csv")
    labels = Counter(row["gold_category"] for row in rows)
    [triage, _] = load_job(ROOT / "jobs/mail.yaml").steps
    assert triage.json_schema is not None
    assert len({row["mail_id"] for row in rows}) == len(rows) == 40
    assert labels.keys() == set(triage.json_schema["properties"]["category"]["enum"])
    assert min(labels.values()) >= 3
    needs = Counter(row["gold_requires_response"] for row in rows)
    assert needs["true"] + needs["false"] == len(rows)


def test_what_stands_on_an_invoice_is_what_its_gold_says() -> None:
    rows = rows_of("invoices.csv")
    for row in rows:
        assert Decimal(row["gold_net"]) + Decimal(row["gold_tax"]) == Decimal(row["gold_total"])
        data = (ROOT / "data/invoices" / row["file"]).read_bytes()
        if row["kind"] == "png":
            assert inspect(Path(row["file"]), data, place=row["file"]).media_type == "image/png"
            continue
        words = text_of(data, suffix=".pdf", place=row["file"]).replace(",", "").split()
        assert {row["gold_number"], row["gold_net"], row["gold_tax"], row["gold_total"]} <= {*words}
    assert Counter(row["kind"] for row in rows) == {"pdf": 8, "png": 4}


def read_invoice(project: Path, *readings: dict[str, object]) -> tuple[RunSummary, int]:
    """The first invoice's run where a model reads so, and how often it was asked."""
    answers = iter(readings)
    settings = Settings(answer=lambda _: json.dumps(next(answers)), require_key=False)
    with Simulator(settings) as sim:
        job = load_job(
            project / "jobs/invoices.yaml",
            overrides=Overrides(
                limit=1,
                base_url=sim.anthropic_url,
                settings=("model.api_key_env=none", "name=sums", "output=../out/sums.csv"),
            ),
        )
        end = asyncio.run(run_job(job, RunOptions(yes=True, fresh=True, overwrite=True)))
        return end, len(sim.received)


def right_invoice() -> dict[str, object]:
    gold = rows_of("invoices.csv")[0]
    line = {"description": "all", "quantity": 1, "amount": float(gold["gold_net"])}
    fields = [name for name in gold if name.startswith("gold_")]
    printed = {name.removeprefix("gold_"): gold[name] for name in fields}
    return {"lines": [line], "booking": "automatic", **printed}


def test_an_invoice_whose_sums_do_not_add_up_is_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    right = right_invoice()
    end, asked = read_invoice(project, right | {"total": "1.00"}, right)

    assert (end.counts, asked) == ({State.SUCCEEDED: 1}, 2)
    assert {found.agreed for found in end.agreements} == {1}


def test_an_invoice_that_cannot_be_booked_is_left_to_a_person(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    wrong = right_invoice() | {"total": "1.00"}
    for readings, total in (
        ([wrong, wrong, wrong], ""),  # nothing of a reading that keeps being wrong
        ([wrong | {"booking": "by hand"}], "1.00"),  # the model says itself that they do not add up
    ):
        end, asked = read_invoice(project, *readings)
        with (project / "out/sums.csv").open(encoding="utf-8", newline="") as file:
            [row] = csv.DictReader(file)

        assert (end.counts, asked) == ({State.SUCCEEDED: 1}, len(readings))
        assert (row["booking"], row["total"]) == ("by hand", total)
