"""What an interrupted launch leaves behind, and how the next one goes on."""

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import pytest

from batchai.clock import Clock
from batchai.domain import State
from batchai.engine.runner import Reason
from batchai.errors import RefusedError
from batchai.operations.changes import approach_to, begin_scan
from batchai.operations.console import Silence, StopButton
from batchai.operations.launch import begin_or_continue
from batchai.operations.opening import opened
from batchai.operations.run import RunOptions, RunSummary, run_job
from batchai.operations.trial import try_items
from batchai.operations.verify import verify
from batchai.simulator import Fault, Settings, SimRequest, Simulator, first_attempts
from batchai.spec import load_job
from batchai.store import Reader
from tests.kit import Workspace, prompts_of

SORT = "Sort: {{ item.text }}"
RERUN = RunOptions(yes=True, changed="rerun")
ROWS = [{"id": f"k{n}", "text": f"text {n}"} for n in range(120)]


@dataclass
class Pressing:
    """Rows that press Ctrl-C when they have been read so far; they can be read again."""

    rows: list[dict[str, str]]
    at: int
    stop: StopButton = field(default_factory=StopButton)

    def __iter__(self) -> Iterator[dict[str, str]]:
        for number, row in enumerate(self.rows):
            if number == self.at:
                self.stop.press()
            yield row


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(Settings(answer=lambda _request: '{"mood": "good"}')) as running:
        yield running


def run(
    space: Workspace, options: RunOptions, *settings: str, items: Any = None, **more: Any
) -> RunSummary:
    stop = items.stop if isinstance(items, Pressing) else None
    return asyncio.run(run_job(space.job(*settings), options, items=items, stop=stop, **more))


@pytest.fixture
def done(tmp_path: Path, sim: Simulator) -> Workspace:
    """A job that has been run over 120 rows."""
    space = Workspace(tmp_path, sim.openai_url, top="limits: {concurrency: 32}").write(1)
    assert run(space, RunOptions(yes=True), items=ROWS).exit_code == 0
    return space


def test_a_rerun_that_was_interrupted_in_its_scan_goes_on_without_being_told_again(
    done: Workspace, sim: Simulator
) -> None:
    done.write_job(prompt=SORT)
    assert run(done, RERUN, items=Pressing(ROWS, 100)).end.reason is Reason.INTERRUPTED
    so_far = len(sim.received) - 120
    assert so_far < 120

    assert run(done, RunOptions(yes=True), items=ROWS).exit_code == 0

    assert sorted(prompts_of(sim.received)[120:]) == sorted(f"Sort: {r['text']}" for r in ROWS)
    assert len(done.exported()) == 120


def test_a_keep_that_was_interrupted_in_its_scan_keeps_the_rest_too(
    done: Workspace, sim: Simulator
) -> None:
    keep = RunOptions(yes=True, changed="keep")
    rows = [*ROWS[:-1], {"id": "k119", "text": "edited"}]
    done.write_job(prompt=SORT)
    assert run(done, keep, items=Pressing(rows, 100)).end.reason is Reason.INTERRUPTED

    assert run(done, RunOptions(yes=True), items=rows).exit_code == 0

    assert prompts_of(sim.received)[120:] == ["Sort: edited"]


def test_a_second_change_is_asked_about_though_the_first_was_to_be_kept(
    done: Workspace, sim: Simulator
) -> None:
    done.write_job(prompt=SORT)
    run(done, RunOptions(yes=True, changed="keep"), items=Pressing(ROWS, 100))
    done.write_job(prompt="Classify anew: {{ item.text }}")

    with pytest.raises(RefusedError, match="--changed rerun"):
        run(done, RunOptions(yes=True), items=ROWS)
    assert len(sim.received) == 120


def die_before_the_first_chunk(space: Workspace, *, has_begun_run: bool) -> None:
    """Do what a launch does until it is about to scan, and no more."""

    async def main() -> None:
        async with opened(space.job(), console=Silence(), items=ROWS) as found:
            store = found.store
            approach = approach_to(found.job, found.source, store.reader, changed="rerun")
            begin_scan(store, approach)
            if has_begun_run:
                begin_or_continue(found.job, store, clock=found.clock)

    asyncio.run(main())


def test_a_change_is_not_forgotten_where_a_launch_dies_before_its_scan(
    done: Workspace, sim: Simulator
) -> None:
    done.write_job(prompt=SORT)
    die_before_the_first_chunk(done, has_begun_run=False)
    with pytest.raises(RefusedError, match="--changed rerun"):
        run(done, RunOptions(yes=True), items=ROWS)
    die_before_the_first_chunk(done, has_begun_run=True)

    assert run(done, RunOptions(yes=True), items=ROWS).exit_code == 0
    assert len(sim.received) == 240


def test_a_changed_file_scanned_in_part_loses_no_pending_item(
    tmp_path: Path, sim: Simulator
) -> None:
    space = Workspace(tmp_path, sim.openai_url).write(30)
    job, options = space.job(), RunOptions(yes=True)
    asyncio.run(try_items(job, count=3))
    data = tmp_path / "data.csv"
    before = data.read_bytes(), data.stat().st_mtime_ns
    space.run()
    space.write({**space.texts, "more": "one more"})

    async def dies() -> None:
        async with opened(space.job(), console=Silence()) as found:
            await found.store.ledger.absorb([("reset_step", (5, "main"))])  # as a retry does
            approach = approach_to(found.job, found.source, found.store.reader, changed=None)
            begin_scan(found.store, approach)

    asyncio.run(dies())
    data.write_bytes(before[0])
    os.utime(data, ns=(before[1], before[1]))  # the file is as it was again

    assert space.run(options=options).counts == {State.SUCCEEDED: 30}
    assert len(space.exported()) == 30


def test_a_refused_retry_leaves_failed_items_failed(tmp_path: Path) -> None:
    settings = Settings(faults=first_attempts(1, Fault.BAD_REQUEST, containing="number 1 "))
    with Simulator(settings) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(3)
        assert space.run().failures == {"rejected": 1}
        before = space.results()

        with pytest.raises(RefusedError, match="No budget is set"):
            space.run(options=RunOptions(retry=frozenset()))

        assert space.results() == before
        assert space.run().failures == {"rejected": 1}
        assert len(sim.received) == 3
        retry = RunOptions(yes=True, retry=frozenset({"rejected"}))
        assert space.run(options=retry).exit_code == 0


class _DiesAsked(Silence):
    """Is killed while the price is on the screen."""

    def ask(self, question: str) -> bool:
        assert "Spend up to" in question
        os.kill(os.getpid(), signal.SIGKILL)
        return False


def _retry_and_die(path: Path) -> None:
    options = RunOptions(retry=frozenset())
    asyncio.run(run_job(load_job(path), options, console=_DiesAsked()))


def test_a_retry_that_is_killed_at_the_price_leaves_failed_items_failed(tmp_path: Path) -> None:
    settings = Settings(faults=first_attempts(1, Fault.BAD_REQUEST, containing="number 1 "))
    with Simulator(settings) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(3)
        assert space.run().failures == {"rejected": 1}
        before = space.results()

        process = get_context("spawn").Process(target=_retry_and_die, args=(space.job_path,))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL

        assert space.run().failures == {"rejected": 1}
        assert space.results() == before
        assert len(sim.received) == 3


@pytest.mark.parametrize(
    ("top", "prompt", "words"),
    [
        ("", SORT, "--changed rerun"),
        ("on_refused: retry", "", "--changed rerun"),
        ("", "", "its price cannot be told first"),
    ],
    ids=["prompt", "policy", "price"],
)
def test_an_input_that_can_be_read_once_is_not_used_up_by_a_question(
    tmp_path: Path, sim: Simulator, top: str, prompt: str, words: str
) -> None:
    space = Workspace(tmp_path, sim.openai_url).write(1)
    run(space, RunOptions(yes=True), items=iter(ROWS[:5]))
    space.top = top
    space.write_job(**({"prompt": prompt} if prompt else {}))
    options = RunOptions(yes=words.startswith("--"))

    with pytest.raises(RefusedError, match=words):
        run(space, options, items=iter(ROWS[:5]))

    again = RunOptions(yes=True, changed="keep")
    assert run(space, again, items=iter(ROWS[:6])).counts == {State.SUCCEEDED: 6}
    assert len(space.exported()) == 6


def test_a_run_whose_last_launch_died_at_its_end_is_over_at_the_next(
    tmp_path: Path, sim: Simulator
) -> None:
    space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(3)
    space.run()

    async def reopen() -> None:
        async with opened(space.job(), console=Silence()) as found:
            with found.store._writing() as connection:
                connection.exec_driver_sql("UPDATE runs SET ended_at = NULL")

    asyncio.run(reopen())
    assert space.run().run.ended_at is not None
    space.write(4)

    assert space.run().run.id == 2


def test_the_budget_of_a_resumed_run_counts_what_was_spent_and_what_is_unconfirmed(
    tmp_path: Path,
) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 0.01").write(100)
        sim.hold()
        process = space.start("run")
        sim.wait_for(4)
        process.kill()
        process.communicate(timeout=120)
        sim.release()
        first = space.run()

        assert first.end.reason is Reason.BUDGET
        assert first.run.unconfirmed > 0
        spent = first.run.cost + first.run.unconfirmed
        assert spent <= Decimal("0.01")
        sent = len(sim.received)
        again = space.run()
        assert again.end.reason is Reason.BUDGET
        assert again.run.id == first.run.id
        assert len(sim.received) == sent


class SteppingClock(Clock):
    """A wall clock that somebody sets back by an hour with every look."""

    def __init__(self) -> None:
        self._back = timedelta()

    def utcnow(self) -> Any:
        self._back += timedelta(hours=1)
        return super().utcnow() - self._back


def test_a_wall_clock_that_is_set_back_harms_no_run(tmp_path: Path, sim: Simulator) -> None:
    top = "limits: {requests_per_minute: 3000}"
    space = Workspace(tmp_path, sim.openai_url, top=top).write(20)

    summary = run(space, RunOptions(yes=True), clock=SteppingClock())
    again = run(space, RunOptions(yes=True), clock=SteppingClock())

    assert (summary.exit_code, again.exit_code) == (0, 0)
    assert len(sim.received) == 20


def rows_kept(space: Workspace) -> list[Any]:
    reader = Reader(space.job().store_path)
    try:
        return [row[0] for row in reader.query("SELECT row FROM items ORDER BY id")]
    finally:
        reader.close()


def test_rows_that_are_not_retained_are_gone_when_settled_and_come_back_to_be_retried(
    tmp_path: Path,
) -> None:
    top = "retain: {items: false, answers: false}\nattempts: 1"
    settings = Settings(faults=first_attempts(1, Fault.INVALID_JSON, containing="number 1 "))
    with Simulator(settings) as sim:
        space = Workspace(tmp_path, sim.openai_url, top=top)
        space.write({"k1": "text number 1 of many", "k2": "text number 2", "k3": "text number 3.."})
        space.write_job(prompt="{{ 10 // (item.text | length - 15) }} {{ item.text }}")
        summary = space.run()

        assert summary.failures == {"invalid": 1, "unrenderable": 1}
        assert rows_kept(space) == [None, None, None]
        assert {row["_status"] for row in space.exported()} == {"succeeded", "failed"}
        reader = Reader(space.job().store_path)
        assert [row[0] for row in reader.query("SELECT answer FROM attempts")] == [None, None]
        reader.close()

        retry = RunOptions(yes=True, retry=frozenset({"invalid"}))
        assert space.run(options=retry).failures == {"unrenderable": 1}
        assert rows_kept(space) == [None, None, None]
        assert len(sim.received) == 3


def test_a_broken_prompt_that_is_changed_back_costs_no_result_that_it_did_not_replace(
    tmp_path: Path,
) -> None:
    def faults(request: SimRequest, _index: int) -> Fault | None:
        return Fault.BAD_REQUEST if request.prompt.startswith("Sort") else None

    with Simulator(Settings(faults=faults)) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(60)
        space.run()
        before = space.exported()
        broken = space.write_job(prompt=SORT).run(options=RERUN)
        assert broken.end.reason is Reason.STOP_IF
        replaced = broken.counts[State.FAILED]
        assert len(sim.received) == 60 + replaced < 90

        assert space.write_job().run().counts == {State.SUCCEEDED: 60}
        assert len(sim.received) == 60 + 2 * replaced
    assert sorted(row["id"] for row in space.exported()) == sorted(row["id"] for row in before)
    assert verify(space.job()).exit_code == 0


@pytest.mark.parametrize("changed", ["rerun", "keep"])
def test_results_of_a_prompt_that_was_changed_back_in_mid_rerun_are_asked_about(
    tmp_path: Path, changed: Literal["rerun", "keep"]
) -> None:
    stop, presses = StopButton(), itertools.count()

    def answer(request: SimRequest) -> str:
        if request.prompt.startswith("Sort") and next(presses) == 0:
            stop.press()
        return '{"mood": "good"}'

    with Simulator(Settings(answer=answer)) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(60)
        space.run()
        rerun = asyncio.run(run_job(space.write_job(prompt=SORT).job(), RERUN, stop=stop))
        assert rerun.end.reason is Reason.INTERRUPTED
        replaced = len(sim.received) - 60
        assert 0 < replaced < 60
        space.write_job()
        with pytest.raises(RefusedError, match=rf"changed +{replaced} .*would be sent again"):
            space.run()

        options = RunOptions(yes=True, changed=changed)
        assert space.run(options=options).counts == {State.SUCCEEDED: 60}
        assert len(sim.received) == 60 + replaced * (2 if changed == "rerun" else 1)
    assert verify(space.job()).exit_code == 0
