"""What a run would cost, before it is paid for: by size, from history, from a pilot."""

import asyncio
import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from batchai.cli.plans import pilot_text, plan_text
from batchai.domain import State
from batchai.operations import report as operation
from batchai.operations.pilot import pilot
from batchai.operations.plan import plan
from batchai.operations.trial import try_items
from batchai.simulator import Fault, Settings, SimRequest, Simulator
from tests.kit import ENVIRONMENT, KEY, Workspace
from tests.operations.reported import RATES

ROWS = {f"k{n}": "word " * (1 + n % 40) + str(n) for n in range(120)}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)


def test_a_pilot_counts_and_its_estimate_stands_beside_what_came(tmp_path: Path) -> None:
    def fault(request: SimRequest, _index: int) -> Fault | None:
        return Fault.REFUSED if request.prompt.endswith(" 7") else None

    with Simulator(Settings(faults=fault)) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(ROWS)
        made = asyncio.run(pilot(space.job(), count=30, rng=random.Random(3)))
        assert len(sim.received) == made.sent == 30
        assert made.cost == sim.bill(RATES)
        estimate = made.estimate
        assert (estimate.basis, estimate.items, estimate.sample) == ("pilot", 120, 30)
        keys = [row.key for row in space.results()]
        assert keys != [f"k{n}" for n in range(30)]  # at random, not the first
        summary = space.run()
        assert summary.progress.attempts == 90
        assert summary.counts[State.SUCCEEDED] + summary.counts[State.FAILED] == 120
        bill = sim.bill(RATES)
    report = operation.report(space.job())
    (run,) = report.runs
    assert run.estimate == estimate
    assert estimate.cost_low_usd is not None
    assert estimate.cost_high_usd is not None
    assert estimate.cost_low_usd <= bill <= estimate.cost_high_usd
    assert run.tally.cost_usd == bill
    assert "estimated from its pilot: $" in operation.to_text(report, "job")
    assert "90 of 100 such runs lie between" in pilot_text(made, "job")


def test_each_item_has_the_same_chance_to_be_in_a_pilot(tmp_path: Path) -> None:
    with Simulator() as sim:
        drawn: Counter[str] = Counter()
        for seed in range(12):
            folder = tmp_path / str(seed)
            folder.mkdir()
            space = Workspace(folder, sim.openai_url, top="budget_usd: 1")
            space.write({f"k{n}": f"text {n}" for n in range(6)})
            asyncio.run(pilot(space.job(), count=3, rng=random.Random(seed)))
            drawn.update(row.key for row in space.results())
    assert len(drawn) == 6
    assert drawn.total() == 36


def test_a_plan_learns_from_what_was_done_and_spends_nothing(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(ROWS)
        first = asyncio.run(plan(space.job()))
        assert (first.estimate.basis, first.estimate.cost_low_usd) == ("schema", None)
        space.run("input.limit=40")
        second = asyncio.run(plan(space.job()))
        assert len(sim.received) == 40
        assert (second.survey.to_send, second.estimate.sample) == (80, 40)
        space.run()
        rest = sim.bill(RATES) - sum(
            row.lineage.cost_usd for row in space.results() if int(row.key[1:]) < 40
        )
    low, high = second.estimate.cost_low_usd, second.estimate.cost_high_usd
    assert low is not None
    assert high is not None
    assert low <= rest <= high
    assert "from 40 items done before" in plan_text(second, "job")


def test_a_plan_says_what_every_request_repeats_and_what_a_cache_saves(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="cache: 5m").write(20)
        space.job_path.write_text(
            space.job_path.read_text()
            .replace("prompt: {", f"prompt: {{system: '{'All of the rules. ' * 500}', ")
            .replace("output_mtok: 2}", "output_mtok: 2, cache_read_mtok: 0.1}")
        )
        made = asyncio.run(plan(space.job()))
        space.run("budget_usd=1")
        report = operation.report(space.job())
    assert 0.95 < made.survey.shared_tokens / made.survey.input_tokens < 1
    foretold, saved = float(made.survey.saved), float(report.total.saved_by_cache_usd)
    assert foretold == pytest.approx(saved, rel=0.1)
    assert "of the input is repeated; the provider's cache saves about $" in plan_text(made, "job")


def test_models_stand_side_by_side(tmp_path: Path) -> None:
    space = Workspace(tmp_path, "http://127.0.0.1:9/v1").write(10)
    names = "openai/gpt-5.4-mini,openai/gpt-5.4-nano"
    command = space.command("plan", "--models", names, "--json")
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    plans = json.loads(done.stdout)["plans"]
    assert [made["model"] for made in plans] == names.split(",")
    assert {made["to_send"] for made in plans} == {10}
    assert plans[1]["end_of_life"] == "2027-04-01"


def test_a_run_without_a_pilot_is_held_to_what_was_foretold_of_it(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(ROWS)
        space.run("input.limit=40")
        space.run()
    first, second = operation.report(space.job()).runs
    assert first.estimate is not None
    assert second.estimate is not None
    assert (first.estimate.basis, first.estimate.items) == ("schema", 40)
    assert (second.estimate.basis, second.estimate.items) == ("history", 80)
    assert first.estimate.cost_usd / 3 < first.tally.cost_usd < 3 * first.estimate.cost_usd
    assert second.estimate.cost_low_usd is not None
    assert second.estimate.cost_high_usd is not None
    assert second.estimate.cost_low_usd <= second.tally.cost_usd <= second.estimate.cost_high_usd
    text = operation.to_text(operation.report(space.job()), "job")
    assert "estimated from what was done before: $" in text


def test_a_run_that_was_tried_first_is_foretold_with_what_the_trial_spent(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(ROWS)
        tried = asyncio.run(try_items(space.job(), count=3))
        space.run()
    (run,) = operation.report(space.job()).runs
    assert run.estimate is not None
    assert tried.cost < run.estimate.cost_usd
    assert run.estimate.cost_usd / 3 < run.tally.cost_usd < 3 * run.estimate.cost_usd


REDUCED = """\
input: {path: data.csv, key: id}
model: {name: openai/gpt-5.4-mini, base_url: 'URL', api_key_env: SIM_KEY, max_tokens: 64,
  price: {input_mtok: 1, output_mtok: 2}}
budget_usd: 1
output: out.csv
steps:
  point: {prompt: {user: '{{ item.text }}'}}
  digest:
    reduce: {of: point, by: item.side, fan_in: 4}
    prompt: {user: "Of {{ group }}: {{ results | join(' ') }}"}
"""


def test_a_plan_reckons_the_trees_of_a_reduction(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url)
        space.write_rows(
            {"id": f"k{n}", "text": f"point {n}", "side": "left" if n < 20 else "right"}
            for n in range(23)
        )
        space.job_path.write_text(REDUCED.replace("URL", sim.openai_url))
        made = asyncio.run(plan(space.job()))
        text = plan_text(made, "job")
        space.run()
        received = len(sim.received)
        again = asyncio.run(plan(space.job()))
    assert made.survey.requests == {"point": 23, "digest": 5 + 2 + 1 + 1}
    assert received == made.survey.requests.total()
    assert "digest (requests)" in text
    assert "Not included" not in text
    assert made.survey.cost_by_step["digest"] > 0
    assert again.survey.requests.total() == 0
    (run,) = operation.report(space.job()).runs
    assert run.estimate is not None
    assert run.estimate.items == 23
