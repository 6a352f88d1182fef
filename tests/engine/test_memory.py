"""Memory that runs out: the run stops and can be resumed, and nothing that was recorded is lost."""

import asyncio
import resource
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import event

from batchai.cli import main
from batchai.domain import Reply, State
from batchai.engine.runner import Reason
from batchai.errors import StoreError
from batchai.simulator import Fault, Rates, Settings, SimRequest, Simulator
from batchai.store import Ledger, Store
from batchai.store.groups import Group
from batchai.store.spool import Spool
from tests.engine.rig import GOOD, rig, texts
from tests.kit import Workspace
from tests.store.books import add_items, an_attempt, close
from tests.virtual import run_virtual

TOP = "limits: {concurrency: 4}"
ITEMS = 12
ANSWER_BYTES = 4 * 2**20
RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(2))


def test_a_process_that_reaches_its_ceiling_stops_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Answers larger than what is left of the address space, as in a container's limit."""
    with Simulator(Settings(faults=_first_are_huge, huge_bytes=ANSWER_BYTES)) as sim:
        space = Workspace(tmp_path, sim.openai_url, top=TOP).write(ITEMS)
        space.write_job(schema="{a: string}")
        sim.hold()
        process = space.start("run", "--yes")
        sim.wait_for(4, timeout_seconds=60)
        ceiling = _address_space(process.pid) + 2**20
        resource.prlimit(process.pid, resource.RLIMIT_AS, (ceiling, ceiling))
        sim.release()
        output, errors = process.communicate(timeout=120)

        assert process.returncode == 3, errors
        assert "Stopped: memory ran out." in output
        assert "lower limits.concurrency" in output
        assert len(sim.received) < ITEMS
        summary = space.run()
        bill = sim.bill(RATES)
    assert summary.counts == {State.SUCCEEDED: ITEMS}
    assert summary.run.cost < bill <= summary.run.cost + summary.run.unconfirmed


def test_an_answer_that_finds_no_memory_counts_as_unknown_and_others_are_kept(
    tmp_path: Path,
) -> None:
    def answer(prompt: str, before: int) -> Reply:
        if prompt == "text 1" and before == 0:
            raise MemoryError
        return GOOD

    async def work() -> None:
        async with rig(tmp_path, texts(20), top=TOP, answer=answer) as it:
            end = await it.work()
            assert (end.reason, it.rows()[1].state) == (Reason.MEMORY, State.PENDING)
            assert it.outcomes() == {None: 1, "succeeded": 3}
        async with rig(tmp_path, texts(20), top=TOP) as again:
            assert (await again.work()).reason is Reason.FINISHED
            assert again.outcomes() == {"unknown": 1, "succeeded": 20}
            run = again.reader.last_run()
            assert run is not None
            assert run.cost == 20 * Decimal("0.00003")
            assert run.unconfirmed > 0

    run_virtual(work())


def test_a_request_that_finds_no_memory_is_not_the_items_failure(tmp_path: Path) -> None:
    async def work() -> None:
        async with rig(tmp_path, texts(20), top=TOP) as it:

            def exhausted(_request: Any) -> bytes:
                raise MemoryError

            it.script.encode = exhausted  # type: ignore[method-assign, assignment]
            assert (await it.work()).reason is Reason.MEMORY
            assert it.reader.state_counts("main").keys() == {State.PENDING}
            assert it.outcomes() == {}

    run_virtual(work())


async def test_a_commit_that_finds_no_memory_hangs_nobody_and_its_answer_is_spooled(
    store: Store,
) -> None:
    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    event.listen(store._engine, "before_cursor_execute", _exhausted)

    with pytest.raises(StoreError, match=r"memory ran out.*1 answers in hand were saved"):
        await asyncio.wait_for(close(store, attempt), 10)
    event.remove(store._engine, "before_cursor_execute", _exhausted)
    await store.close()
    again = Store(store.path, job_path=store.path.parent.parent / "job.yaml")
    assert again.reader.state_counts("main") == {State.SUCCEEDED: 1}
    await again.close()


async def test_where_not_even_the_spool_finds_memory_nobody_waits(store: Store) -> None:
    class Exhausted(Spool):
        def add(self, group: Group) -> None:
            raise MemoryError(group.number)

    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    spool = Exhausted(store.path.with_suffix(".spool"), store_id="")
    store.ledger = Ledger(store._engine, spool=spool)
    event.listen(store._engine, "before_cursor_execute", _exhausted)

    with pytest.raises(StoreError, match="count as unknown on the next run; lower limits"):
        await asyncio.wait_for(close(store, attempt), 10)
    with pytest.raises(StoreError, match="count as unknown on the next run; lower limits"):
        await asyncio.wait_for(close(store, attempt), 10)


async def test_where_no_thread_can_be_started_nobody_waits_and_the_answer_is_spooled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    (item,) = await add_items(store, 1)
    attempt = an_attempt(store, item)
    await store.ledger.open_attempt(attempt)
    monkeypatch.setattr(store.ledger._thread, "submit", refused)
    with pytest.raises(StoreError, match=r"can't start new thread.*1 answers in hand were saved"):
        await asyncio.wait_for(close(store, attempt), 10)


def test_a_command_that_finds_no_memory_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from batchai.cli.commands import COMMANDS

    monkeypatch.setitem(COMMANDS, "check", _exhausted)
    assert main(["check", str(tmp_path / "job.yaml")]) == 3
    assert capsys.readouterr().err.startswith("Memory ran out: give the process more")


def _first_are_huge(_request: SimRequest, index: int) -> Fault | None:
    return Fault.HUGE if index < ITEMS else None


def _exhausted(*_: object) -> NoReturn:
    raise MemoryError


def _address_space(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize")
    )
