"""Rehearsals: the whole run without a provider, in the time that it takes to look at it."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.cli.simulated import rehearsal_text
from batchai.domain import State
from batchai.engine.runner import Reason
from batchai.errors import RefusedError, SpecError
from batchai.operations.rehearse import Rehearsal, rehearse
from batchai.operations.stores import job_lines
from batchai.simulator import Simulator
from tests.kit import Workspace

NOWHERE = "https://nowhere.example/v1"


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A job that points at a server which is not there."""
    return Workspace(tmp_path, NOWHERE).write(30)


def rehearsed(space: Workspace, *settings: str, faults: Sequence[str] = ()) -> Rehearsal:
    return rehearse(space.job(*settings), faults)


def test_a_rehearsal_needs_no_key_and_no_server_and_answers_every_item(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIM_KEY")
    found = rehearsed(space)

    assert found.run.exit_code == 0
    assert found.run.counts == {State.SUCCEEDED: 30}
    assert found.served.requests == found.served.outcomes["answered"] == 30


def test_neither_store_nor_result_of_the_job_is_touched(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(10)
        space.run()
        before = {
            path: path.read_bytes() for path in (space.job().store_path, tmp_path / "out.csv")
        }
        found = rehearsed(space)

        assert {path: path.read_bytes() for path in before} == before
        assert len(sim.received) == 10
    assert found.basis.done == 10
    assert found.run.job.store_path == tmp_path / ".batchai" / "job.rehearsal.db"
    assert found.run.export is not None
    assert found.run.export.path == tmp_path / ".batchai" / "job.rehearsal.csv"


def test_each_rehearsal_begins_anew_and_is_listed_nowhere(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.folder)
    for _ in range(2):
        assert rehearsed(space).served.requests == 30
    assert [line.job for line in job_lines()] == []


def test_limits_hold_and_their_waits_are_skipped_but_measured(space: Workspace) -> None:
    space.write(130)
    found = rehearsed(space, "limits.requests_per_minute=60")

    assert 50 <= found.served.worst.requests <= 60
    assert 120 <= found.run.seconds < 150
    assert found.real_seconds < 20


def test_faults_are_met_and_retried_as_in_a_run(space: Workspace) -> None:
    faults = ["rate_limited=20%", "hang=5%", "invalid_json=0.02"]
    found = rehearsed(space, faults=faults)

    assert found.run.counts == {State.SUCCEEDED: 30}
    assert found.served.outcomes["rate_limited"] > 0
    assert found.served.requests == 30 + found.run.progress.retries
    assert "Went wrong on purpose: " in rehearsal_text(found, "job")


def test_an_hour_of_outage_is_sat_out_in_a_moment_and_the_run_stops(space: Workspace) -> None:
    found = rehearsed(space, faults=["unavailable=100%"])

    assert found.run.end.reason is Reason.OUTAGE
    assert found.run.exit_code == 3
    assert found.run.seconds > 3000
    assert "For real it would have stopped: the provider did not serve" in rehearsal_text(
        found, "job"
    )


def test_the_budget_stops_a_rehearsal_where_it_would_stop_the_run(space: Workspace) -> None:
    found = rehearsed(space, "budget_usd=0.003")

    assert found.run.end.reason is Reason.BUDGET
    assert 0 < found.run.run.cost <= Decimal("0.003")


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("anthropic/claude-haiku-4-5", "anthropic"),
        ("openai/gpt-5.4-mini", "openai"),
        ("local/smollm2-135m", "openai"),
    ],
    ids=["anthropic", "openai", "local"],
)
def test_the_protocol_is_that_of_the_job(space: Workspace, model: str, provider: str) -> None:
    found = rehearsed(space, f"model={{name: {model}, max_tokens: 64}}")

    assert {name for name, _ in found.served.billed} == {provider}
    assert found.is_free == model.startswith("local/")
    assert found.run.counts == {State.SUCCEEDED: 30}


def test_the_price_is_the_jobs_own_over_answers_of_the_usual_length(space: Workspace) -> None:
    found = rehearsed(space)
    usages = [usage for group in found.served.billed.values() for usage in group]

    assert {usage.output for usage in usages} == {found.basis.output_tokens}
    assert (
        found.run.run.cost
        == Decimal(sum(usage.input + 2 * usage.output for usage in usages)) / 1_000_000
    )


def test_answers_are_as_slow_and_as_long_as_the_jobs_own_have_been(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(10)
        space.run()
    basis = rehearsed(space).basis

    assert basis.has_history
    assert basis.latency_seconds < 0.5
    assert basis.output_tokens < 20


def test_the_words_say_what_it_would_take_and_that_nothing_was_spent(space: Workspace) -> None:
    found = rehearsed(space, "limits.requests_per_minute=60", "budget_usd=1")
    text = rehearsal_text(found, "my job")

    assert "for real it would take about" in text
    assert "30 of 60 requests" in text
    assert "Price: about $0.00" in text
    assert ", of a budget of $1.00" in text
    assert "Nothing left this machine and nothing was spent." in text
    assert "Next: batchai try 'my job'" in text


def test_each_account_has_limits_and_slots_of_its_own(space: Workspace) -> None:
    found = rehearsed(
        space,
        "limits.concurrency=4",
        "limits.requests_per_minute=20",
        "fallback={on: [invalid], models: [anthropic/claude-haiku-4-5]}",
    )

    text = rehearsal_text(found, "job.yaml")
    assert "20 of 40 requests" in text
    assert "of 8 (each of the 2 models' accounts has limits and slots of its own)" in text


def test_the_store_of_a_job_that_is_called_so_is_not_deleted(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(3)
        space.run("name=job.rehearsal")
        with pytest.raises(RefusedError, match="not of a rehearsal"):
            rehearsed(space)
        space.run("name=job.rehearsal")
        assert len(sim.received) == 3


def test_what_a_rehearsal_left_that_died_as_it_began_does_not_matter(space: Workspace) -> None:
    store = space.folder / ".batchai" / "job.rehearsal.db"
    store.parent.mkdir()
    store.touch()

    assert rehearsed(space).run.exit_code == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("gremlins=1%", "fault gremlins=1%: must be usual, or FAULT=SHARE with one of rate_"),
        ("hang", "fault hang: needs a share of requests, such as hang=2%"),
        ("hang=often", "fault hang=often: needs a share"),
        ("hang=150%", "fault hang=150%: needs a share"),
    ],
    ids=["unknown", "no share", "no number", "too much"],
)
def test_a_fault_that_is_none_is_refused(space: Workspace, fault: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        rehearsed(space, faults=[fault])
    with pytest.raises(SpecError, match="add up to 120%"):
        rehearsed(space, faults=["hang=60%", "reset=60%"])


def test_a_mistake_of_the_job_is_found_before_anything_begins(space: Workspace) -> None:
    space.write_job(prompt="Classify: {{ item.txt }}")
    with pytest.raises(SpecError, match="no column 'txt'"):
        rehearsed(space)
