"""Pause, resume, tune and stop, from another terminal, to a job at work or between launches."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.engine.control_socket import call
from batchai.engine.runner import Reason
from batchai.errors import RefusedError, SpecError
from batchai.operations import steer
from batchai.operations.console import Silence
from batchai.operations.run import RunOptions
from batchai.operations.status import status, to_text
from batchai.simulator import Simulator
from batchai.spec import Overrides, load_job
from batchai.spec.models import Job
from batchai.spec.tuning import tunable_values
from batchai.store import open_reader
from batchai.store.history import history
from tests.kit import Workspace, prompts_of
from tests.operations.launching import launched

LIMIT = "limits: {concurrency: 4}\nbudget_usd: 1"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        running.hold()
        yield running


@pytest.fixture
def space(tmp_path: Path, sim: Simulator) -> Workspace:
    return Workspace(tmp_path, sim.openai_url, top=LIMIT).write(30)


def flags(space: Workspace, *settings: str, budget: str | None = None) -> Job:
    return load_job(space.job_path, overrides=Overrides(settings=settings, budget=budget))


def said(space: Workspace) -> list[str]:
    reader = open_reader(space.job().store_path)
    try:
        return [event.action.value for event in history(reader, 1)]
    finally:
        reader.close()


def killed_in_mid_run(space: Workspace, sim: Simulator) -> None:
    process = space.start("run", "--yes")
    sim.wait_for(4, timeout_seconds=120)
    process.kill()
    process.communicate(timeout=120)


def test_a_paused_run_finishes_what_is_in_flight_and_sends_nothing_until_it_is_resumed(
    space: Workspace, sim: Simulator
) -> None:
    with launched(space) as launch:
        sim.wait_for(4, timeout_seconds=120)
        paused = steer.pause(space.job(), "job")
        assert paused.text.startswith("Paused; 4 requests in flight")
        sim.release()
        while (seen := status(space.job())).in_flight:
            pass
        assert len(sim.received) == seen.done == 4
        assert seen.waits_for == "resume"
        assert " · paused " in (text := to_text(seen, "job"))
        assert text.endswith("next: batchai resume job")
        assert steer.resume(space.job()) is not None
    assert launch.summary is not None
    assert launch.summary.end.reason is Reason.FINISHED
    assert len(prompts_of(sim.received)) == len(set(prompts_of(sim.received))) == 30
    assert said(space) == ["paused", "resumed"]


def test_a_paused_run_that_was_killed_stays_paused_until_somebody_says_resume(
    space: Workspace, sim: Simulator
) -> None:
    process = space.start("run", "--yes")
    sim.wait_for(4, timeout_seconds=120)
    steer.pause(space.job(), "job")
    process.kill()
    process.communicate(timeout=120)
    sim.release()

    assert to_text(status(space.job()), "job").endswith("next: batchai resume job")
    with pytest.raises(RefusedError, match=r"paused \(since .*batchai resume job"):
        space.run()
    assert len(sim.received) == 4
    assert steer.resume(space.job()) is None
    assert space.run(options=RunOptions(resume=True)).exit_code == 0
    assert said(space) == ["paused", "resumed"]


def test_what_is_tuned_holds_at_once_and_when_the_run_goes_on(
    space: Workspace, sim: Simulator
) -> None:
    space.top = "limits: {concurrency: 1}\nbudget_usd: 1"
    space.write_job()
    process = space.start("run", "--yes")
    sim.wait_for(1, timeout_seconds=120)
    tuned = steer.tune(flags(space, "limits.concurrency=4", budget="3"), "job")
    assert tuned.text.startswith("The run goes on with budget $3.00, concurrency 4 until")
    sim.wait_for(4, timeout_seconds=120)
    assert status(space.job()).budget_usd == 3
    process.kill()
    process.communicate(timeout=120)

    with launched(space) as launch:
        sim.wait_for(4 + 4, timeout_seconds=120)
        assert "tuned: budget $3.00, concurrency 4" in to_text(status(space.job()), "job")
        sim.release()
    assert launch.summary is not None
    assert launch.summary.run.budget == 3
    space.write(31)
    assert space.run().run.budget == 1  # the next run


def test_a_flag_wins_over_what_was_tuned_for_its_launch(space: Workspace, sim: Simulator) -> None:
    killed_in_mid_run(space, sim)
    told = steer.tune(flags(space, "limits.concurrency=2", budget="0.0001"), "job")
    assert told.text.startswith("Nothing is at work. The run goes on with budget $0.0001, conc")
    sim.release()
    assert space.run().end.reason is Reason.BUDGET
    summary = space.run("budget_usd=2", "limits={concurrency: 8}")
    assert summary.end.reason is Reason.FINISHED
    assert summary.run.budget == 2


def test_reset_lets_the_job_itself_hold_again(space: Workspace, sim: Simulator) -> None:
    killed_in_mid_run(space, sim)
    steer.tune(flags(space, budget="0.0001"), "job")
    assert status(space.job()).budget_usd == Decimal("0.0001")
    steer.tune(space.job(), "job", reset=True)
    assert status(space.job()).budget_usd == 1
    sim.release()
    assert space.run().exit_code == 0


class Agreeing(Silence):
    """Somebody who says yes to a price."""

    def ask(self, question: str) -> bool:
        assert "Spend up to" in question
        return True


def test_reset_does_not_lift_the_budget_that_was_agreed_to_at_the_terminal(
    tmp_path: Path, sim: Simulator
) -> None:
    space = Workspace(tmp_path, sim.openai_url, top="limits: {concurrency: 4}").write(30)
    with launched(space, options=RunOptions(), console=Agreeing()) as launch:
        sim.wait_for(4, timeout_seconds=120)
        agreed = status(space.job()).budget_usd
        steer.tune(flags(space, budget="3"), "job")
        steer.tune(space.job(), "job", reset=True)
        assert status(space.job()).budget_usd == agreed
        sim.release()
    assert agreed is not None
    assert launch.summary is not None
    assert launch.summary.run.budget == agreed


def test_a_lower_budget_stops_a_run_that_has_spent_it(space: Workspace, sim: Simulator) -> None:
    with launched(space) as launch:
        sim.wait_for(4, timeout_seconds=120)
        steer.tune(flags(space, budget="0.0000001"), "job")
        sim.release()
    assert launch.summary is not None
    assert launch.summary.end.reason is Reason.BUDGET
    assert len(sim.received) == 4


def test_stop_finishes_what_is_in_flight_and_can_be_resumed(
    space: Workspace, sim: Simulator
) -> None:
    with launched(space) as launch:
        sim.wait_for(4, timeout_seconds=120)
        assert "4 requests in flight, to be finished first" in steer.stop(space.job(), "job").text
        assert to_text(status(space.job()), "job").splitlines()[0].endswith("is stopping")
        sim.release()
    assert launch.summary is not None
    assert launch.summary.exit_code == 3
    assert to_text(status(space.job()), "job").startswith("stopped by `batchai stop` (")
    assert space.run().exit_code == 0
    assert len(prompts_of(sim.received)) == len(set(prompts_of(sim.received))) == 30


def test_a_launch_that_has_just_begun_is_told_too(space: Workspace, sim: Simulator) -> None:
    process = space.start("run", "--yes")
    while not steer.is_at_work(space.job()):  # before it takes commands
        assert process.poll() is None
    steer.stop(space.job(), "job.yaml", now=True)
    output, errors = process.communicate(timeout=120)
    assert "stopped by `batchai stop`" in (output + errors).lower()
    sim.release()


def test_stop_now_leaves_at_once_and_what_was_in_flight_is_unknown(
    space: Workspace, sim: Simulator
) -> None:
    with launched(space) as launch:
        sim.wait_for(4, timeout_seconds=120)
        steer.stop(space.job(), "job", now=True)
    sim.release()
    assert launch.summary is not None
    assert launch.summary.exit_code == 3
    assert status(space.job()).in_flight == 4
    assert space.run().exit_code == 0


def test_a_pause_between_launches_holds_for_the_next(space: Workspace, sim: Simulator) -> None:
    killed_in_mid_run(space, sim)
    assert steer.pause(space.job(), "job").text.startswith("Paused; nothing is at work.")
    with pytest.raises(RefusedError, match="batchai resume job"):
        space.run()
    sim.release()
    assert space.run(options=RunOptions(resume=True)).exit_code == 0


@pytest.mark.parametrize("is_over", [False, True], ids=["never run", "over"])
def test_without_a_run_that_goes_on_there_is_nothing_to_steer(
    space: Workspace, sim: Simulator, is_over: bool
) -> None:
    sim.release()
    if is_over:
        space.run()
    for act in (steer.pause, lambda job, name: steer.tune(job, name, reset=True)):
        with pytest.raises(RefusedError, match="no run is going on"):
            act(space.job(), "job")
    with pytest.raises(RefusedError, match="nothing is at work"):
        steer.stop(space.job(), "job")
    assert space.job().store_path.exists() == is_over


def test_only_limits_and_the_budget_can_be_tuned(space: Workspace) -> None:
    with pytest.raises(SpecError, match=r"model\.temperature: cannot be tuned"):
        steer.tune(flags(space, "model.temperature=1"), "job")
    with pytest.raises(RefusedError, match="say what"):
        steer.tune(space.job(), "job")


def test_tuning_stays_within_the_limits_of_the_account(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.folder)
    (space.folder / "batchai.yaml").write_text(
        "accounts: {openai: {limits: {concurrency: 32, requests_per_minute: 100}}}\n"
    )
    path = space.folder / "own.yaml"
    path.write_text(
        space.job_path.read_text().replace(f"base_url: '{space.url}', api_key_env: SIM_KEY,", "")
    )
    job = load_job(path, overrides=Overrides(settings=("limits.concurrency=64",)))
    assert tunable_values(job, job.overridden) == {"limits.concurrency": 32}


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "tune", "values": {"limits.concurrency": -1}},
        {"do": "tune", "values": {"limits.concurrency": True}},
        {"do": "tune", "values": {"limits.requests_per_minute": "auto"}},
        {"do": "tune", "values": {"budget_usd": "NaN"}},
        {"do": "tune", "values": {"budget_usd": 1e400}},
        {"do": "tune", "values": {"name": "other"}},
        {"do": "fly"},
        {},
        [],
        7,
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    space: Workspace, sim: Simulator, request_: dict[str, object]
) -> None:
    with launched(space) as launch:
        sim.wait_for(4, timeout_seconds=120)
        with pytest.raises(RefusedError):
            call(space.job().store_path, request_, timeout_seconds=30)
        sim.release()
    assert launch.summary is not None
    assert launch.summary.exit_code == 0
    assert said(space) == []
