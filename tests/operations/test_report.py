"""The report of a job that two models worked on, against the provider's own bill."""

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.domain import Outcome, Usage
from batchai.errors import StoreError
from batchai.operations import report as operation
from batchai.operations.run import RunOptions, run_job
from batchai.reports.agreement import agreement, stored_agreement
from batchai.reports.distributions import latency_of
from batchai.reports.job_report import JobReport
from batchai.reports.lines import run_lines
from batchai.simulator import Fault, Settings, Simulator
from batchai.store import Store, open_reader
from batchai.store.rows import Launch, Run
from tests.kit import KEY, Workspace
from tests.operations.reported import ITEMS, RATES, Made, make
from tests.virtual import EPOCH


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIM_KEY", KEY)
        yield make(tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="module")
def report(made: Made) -> JobReport:
    return operation.report(made.space.job())


def test_the_total_is_the_provider_s_own_bill_to_the_last_digit(
    made: Made, report: JobReport
) -> None:
    assert report.total.cost_usd == made.bill > 0
    assert report.total.unconfirmed_usd == 0
    assert report.total.attempts == len(made.received)
    assert sum(line.tally.cost_usd for line in report.models) == made.bill
    assert sum(line.tally.cost_usd for line in report.runs) == made.bill


def test_tokens_are_those_that_the_provider_billed(made: Made, report: JobReport) -> None:
    usages = [entry.usage for entry in made.received if entry.usage is not None]
    assert report.total.tokens == Usage(
        uncached_input=sum(usage.uncached_input for usage in usages),
        cache_read=sum(usage.cache_read for usage in usages),
        output=sum(usage.output for usage in usages),
        reasoning=sum(usage.reasoning for usage in usages),
    )
    assert report.total.tokens.cache_read > 0
    assert report.total.tokens.reasoning > 0


def test_each_model_has_its_own_requests_and_says_who_answered(
    made: Made, report: JobReport
) -> None:
    asked = Counter(f"openai/{entry.model}" for entry in made.received)
    assert {line.model: line.tally.attempts for line in report.models} == asked
    first, second = report.models
    assert {found.model for found in first.names} == {"gpt-5.4-mini-a", "gpt-5.4-mini-b"}
    assert [found.model for found in second.names] == ["gpt-5.5-2026-10-01"]
    assert second.latency is not None
    assert 0 < second.latency.p50_seconds <= second.latency.p95_seconds


def test_items_failures_and_retries_are_counted(report: JobReport) -> None:
    assert report.items == {"succeeded": ITEMS - 2, "failed": 2}
    assert {failure.kind: failure.items for failure in report.failures} == {
        "refused": 1,
        "invalid": 1,
    }
    assert "mood" in next(line.example for line in report.failures if line.kind == "invalid")
    assert report.total.retries == 2 + 2 + 2  # repairs of item 5 in both runs; items 7 and 8 once
    assert report.total.failed == 10
    succeeded = report.outcomes[0]
    assert succeeded.outcome is Outcome.SUCCEEDED
    assert succeeded.tally.cost_usd + report.total.failed_cost_usd == report.total.cost_usd


def test_runs_have_their_budget_and_their_working_time(report: JobReport) -> None:
    first, second = report.runs
    assert [line.launches for line in (first, second)] == [1, 1]
    assert second.budget_usd == Decimal(1)
    assert 0 < second.working_seconds == second.wall_seconds
    assert second.items_per_second == pytest.approx((ITEMS - 2) / second.working_seconds)


def test_time_steps_and_items_add_up_to_the_bill(report: JobReport) -> None:
    assert [line.step for line in report.steps] == ["main"]
    assert report.steps[0].tally == report.total
    assert report.timeline is not None
    last = report.runs[-1]
    assert sum(bucket.cost_usd for bucket in report.timeline.buckets) == last.tally.cost_usd
    requests = report.limits[0]
    assert (requests.limit, requests.allowed) == ("requests_per_minute", None)
    assert requests.busiest == last.tally.attempts  # all of them within a minute
    answers = sum(each.answers for each in report.distributions.latency_seconds)
    assert answers == report.distributions.answers == report.total.attempts - 1
    costs = {item.key: item.cost_usd for item in report.costliest}
    assert len(costs) == 10
    assert next(iter(costs)) == "k5"  # asked again and again for a valid answer
    assert list(costs.values()) == sorted(costs.values(), reverse=True)


def test_results_that_were_kept_are_money_saved(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(4)
        space.run()
        bill = sim.bill(RATES)
        space.write(5).run()
    saved = operation.report(space.job()).saved
    assert (saved.reused, saved.reused_usd) == (4, bill)
    text = operation.to_text(operation.report(space.job()), "job")
    assert "saved: 4 results of earlier runs not paid for again, $0.0" in text


def test_the_first_line_says_what_matters_and_what_to_type_next(report: JobReport) -> None:
    first = operation.to_text(report, "feedback").splitlines()[0].split(" · ")
    assert first[:3] == ["38 succeeded", "1 invalid", "1 refused"]
    assert re.fullmatch(r"\$0\.\d+ of \$1\.00 in run 2 \(\$0\.\d+ in all\)", first[3])
    assert first[4] == "$0 unconfirmed"
    next_words = r"next: batchai run feedback --retry invalid \(about \$0\.0000\d+\)"
    assert re.fullmatch(next_words, first[5])


def test_the_text_fits_a_breakfast_and_leaves_out_what_is_not_there(report: JobReport) -> None:
    text = operation.to_text(report, "feedback")
    assert len(text.splitlines()) < 50
    assert "cache write" not in text
    assert "unconfirmed" not in text.split("\n\n", 1)[1]
    assert "answered by more than one model: gpt-5.4-mini-" in text
    assert "by run" in text


def test_json_is_stable_and_has_money_as_strings(report: JobReport) -> None:
    value = json.loads(operation.to_json(report))
    assert value["schema_version"] == 1
    assert Decimal(value["total"]["cost_usd"]) == report.total.cost_usd
    assert sum(Decimal(day["tally"]["cost_usd"]) for day in value["days"]) == report.total.cost_usd
    assert value["open"] == {"attempts": 0, "at_risk_usd": "0"}


def test_agreement_is_that_of_the_results_one_by_one(made: Made, report: JobReport) -> None:
    (expected,) = agreement(made.space.results(), {"mood": "gold"})
    (found,) = report.agreement
    assert (found.agreed, found.compared) == (expected.agreed, expected.compared)
    assert found.compared == 28  # gold is empty for a quarter of the items, and two have failed
    assert [(pair.expected, pair.given, pair.items) for pair in found.disagreements] == [
        ("good", "bad", found.compared - found.agreed)
    ]


async def test_names_that_no_path_can_hold_are_compared_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / ".batchai" / "odd.db"
    store = Store(path, job_path=tmp_path / "odd.yaml")
    row = '{"gold \\"x\\"":"Yes","größe":12345678901234567890}'
    result = '{"ok":" yes","n":12345678901234567890,"größe":true}'
    await store.ledger.absorb([("add_item", (1, "a", 0, row)), ("add_step", (1, "main"))])
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE item_steps SET state = 'succeeded', result = ?", (result,)
        )
    with store.reader.snapshot():
        odd = stored_agreement(store.reader, "main", {"ok": 'gold "x"', "n": "größe"})
        plain = stored_agreement(store.reader, "main", {"ok": "absent"})
    await store.close()
    assert [(line.agreed, line.compared) for line in odd] == [(1, 1), (1, 1)]
    assert [(line.agreed, line.compared) for line in plain] == [(0, 0)]


def test_attempts_in_flight_are_money_at_risk_beside_the_sums(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="limits: {concurrency: 4}").write(8)
        sim.hold()
        launch = threading.Thread(
            target=lambda: asyncio.run(run_job(space.job(), RunOptions(yes=True)))
        )
        launch.start()
        try:
            sim.wait_for(4)
            during = operation.report(space.job())
        finally:
            sim.release()
            launch.join()
        after = operation.report(space.job())
    assert during.is_working
    assert during.open.attempts == 4
    assert during.open.at_risk_usd > 0
    assert during.total.attempts == 0
    text = operation.to_text(during, "job")
    assert "next: batchai status job" in text
    assert "4 attempts in flight, up to $" in text
    assert not after.is_working
    assert (after.open.attempts, after.total.cost_usd) == (0, sim.bill(RATES))


def test_what_was_billed_without_a_word_is_unconfirmed(tmp_path: Path) -> None:
    plan = Settings(
        faults=lambda request, _: Fault.MISSING_USAGE if "number 1 " in request.prompt else None
    )
    with Simulator(plan) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(3)
        space.run()
        bill = sim.bill(RATES)
    total = operation.report(space.job()).total
    assert 0 < total.cost_usd < bill <= total.cost_usd + total.unconfirmed_usd
    assert f"{total.unconfirmed_usd:.6f}"[:4] in operation.to_text(
        operation.report(space.job()), "job"
    )


def test_fixed_values_and_bad_rows_are_told(tmp_path: Path) -> None:
    top = "on_refused: {mood: bad}\n"
    with Simulator(Settings(faults=lambda *_: Fault.REFUSED)) as sim:
        space = Workspace(tmp_path, sim.openai_url, top=top).write(2)
        (tmp_path / "data.csv").write_text("id,text\na,one\nb,two\na,three\n")
        space.run("input.on_bad_row=skip")
    report = operation.report(space.job())
    assert (report.items, report.fixed) == ({"succeeded": 2}, 2)
    assert report.bad_rows.rows == 1
    text = operation.to_text(report, "job")
    assert "2 succeeded items with the job's fixed values, no answer" in text
    assert "1 row of the input left out, since it cannot be used:\n" in text
    assert "data.csv:4: the key id = 'a' was there before" in text


def test_what_is_free_has_no_cost_and_days_are_lines_where_there_are_several(
    tmp_path: Path,
) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(2)
        space.run("model.price=none")
        space.write(3).run("model.price=none")
    report = operation.report(space.job())
    (day,) = report.days
    earlier = replace(day, day=day.day - timedelta(days=1))
    text = operation.to_text(replace(report, days=(earlier, day)), "job")
    assert text.startswith("3 succeeded · no cost\n")
    assert "$" not in text
    assert f"by day (UTC)\n  {earlier.day} " in text


def test_a_launch_that_died_worked_until_its_last_attempt() -> None:
    """Its end is written by the next launch, perhaps a day later."""
    run = Run(1, EPOCH, None, {}, None, 0, Decimal(0), Decimal(0))
    day = timedelta(days=1)
    launches = [
        Launch(1, 1, 10, EPOCH, EPOCH + day, None, "died"),
        Launch(2, 1, 11, EPOCH + day, None, None, None),
    ]
    now = EPOCH + day + timedelta(minutes=5)
    (working,) = run_lines((), runs=[run], launches=launches, working_until=now)
    assert (working.working_seconds, working.wall_seconds) == (300.0, 86_700.0)
    (dead,) = run_lines((), runs=[run], launches=launches, working_until=None)
    assert dead.working_seconds == 0


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([7], 0.007, 0.007), ([1, 2], 0.001, 0.002), (list(range(1, 101)), 0.05, 0.095)],
)
def test_percentiles_are_answers_that_were_measured(
    values: list[int], p50: float, p95: float
) -> None:
    found = latency_of(values)
    assert found is not None
    assert (found.p50_seconds, found.p95_seconds) == (p50, p95)
    assert latency_of([]) is None


def test_a_job_that_was_not_run_says_so(tmp_path: Path) -> None:
    job = Workspace(tmp_path, "http://127.0.0.1:9/v1").write(1).job()
    with pytest.raises(StoreError, match="no store yet; the job has not been run"):
        operation.report(job)


def test_all_jobs_are_a_line_each_and_totals(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no job has been run yet" in operation.all_to_text(operation.report_all())
    with Simulator() as sim:
        (tmp_path / "jobs").mkdir()
        Workspace(tmp_path / "jobs", sim.openai_url).write(3).run()
    (tmp_path / ".batchai").mkdir()
    (tmp_path / ".batchai" / "odd.db").write_text("no database")

    lines = operation.report_all((made.space.folder, tmp_path))
    value = json.loads(operation.all_to_json(lines))
    text = operation.all_to_text(lines)

    assert [line.job for line in lines] == ["odd", "job", "job"]
    assert Decimal(value["total"]["cost_usd"]) == sim.bill(RATES) + made.bill
    assert value["total"]["succeeded"] == 3 + 38
    assert text.splitlines()[-1].startswith(".batchai/odd.db: ")
    assert re.search(r"^3 jobs +41 +2 +\d+ +\$0\.0\d+$", text, re.MULTILINE)


def test_a_report_reads_one_state_of_the_store_while_it_changes(made: Made) -> None:
    reader = open_reader(made.space.job().store_path)
    with reader.snapshot():
        before = reader.runs()
        assert reader.query("SELECT count(*) FROM attempts")[0][0] == len(made.received)
        assert reader.runs() == before
    reader.close()
