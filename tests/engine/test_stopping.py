"""Stopping a launch at any moment: it drains, or leaves at once; both can be resumed."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchai.domain import Reply, State
from batchai.engine.runner import Reason
from tests.engine.rig import GOOD, SERVER_ERROR, rig, texts, ticks
from tests.virtual import run_virtual

CAREFUL = "limits: {concurrency: 4}\nbudget_usd: 5"


def test_a_stop_at_the_gate_sends_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        top = "limits: {requests_per_minute: 1}"
        async with rig(tmp_path, texts(5), top=top) as it:
            working = asyncio.create_task(it.work())
            await it.opened.clock.sleep(30)
            it.stop.press()
            end = await working
            assert end.reason is Reason.INTERRUPTED
            assert len(it.script.sent) == 1
            assert it.outcomes() == {"succeeded": 1}

    run_virtual(main())


def test_a_stop_before_the_first_turn_of_the_pool_sends_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(5)) as it:
            await it.work()
            await it.store.ledger.absorb([("reset_step", (1, "main"))])
            launch, _ = it.launch()
            runner = launch._runner
            runner.stop(Reason.TERMINATED)
            sent = len(it.script.sent)
            assert (await runner.run(it.reader)).reason is Reason.TERMINATED
            assert len(it.script.sent) == sent

    run_virtual(main())


def test_draining_records_what_is_in_flight_and_begins_no_retry(tmp_path: Path) -> None:
    def answer(prompt: str, _before: int) -> Reply:
        return SERVER_ERROR if prompt in {"text 0", "text 1"} else GOOD

    async def main() -> None:
        async with rig(tmp_path, texts(20), top=CAREFUL, answer=answer) as it:
            working = asyncio.create_task(it.work())
            await it.script.is_busy.wait()
            it.stop.press()
            end = await working
            assert end.reason is Reason.INTERRUPTED
            assert it.outcomes() == {"server_error": 2, "succeeded": 2}
            assert [row.state for row in it.rows()[:3]] == [
                State.PENDING,
                State.PENDING,
                State.SUCCEEDED,
            ]

            it.script.answer = lambda _prompt, _before: GOOD
        async with rig(tmp_path, texts(20), top=CAREFUL) as again:
            assert (await again.work()).reason is Reason.FINISHED
            assert len(again.script.sent) == 18

    run_virtual(main())


def test_leaving_at_once_frees_every_slot_and_leaves_attempts_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(20), top=CAREFUL) as it:
            working = asyncio.create_task(it.work())
            await it.script.is_busy.wait()
            it.stop.press()
            await ticks()
            it.stop.press()
            await working
            assert it.script.open == 0
            assert it.outcomes() == {None: 4}
        async with rig(tmp_path, texts(20), top=CAREFUL) as again:
            await again.work()
            assert again.outcomes() == {"unknown": 4, "succeeded": 20}
            assert [row.lineage.attempts for row in again.rows()[:5]] == [2, 2, 2, 2, 1]

    run_virtual(main())


@pytest.mark.parametrize("turns", [0, 5, 20, 60])
def test_a_cancellation_from_outside_is_passed_on_and_the_next_launch_goes_on(
    tmp_path: Path, turns: int
) -> None:
    """As by `asyncio.timeout` around the Python API."""

    async def main() -> None:
        async with rig(tmp_path, texts(20), top=CAREFUL) as it:
            working = asyncio.create_task(it.work())
            if turns == 60:
                await it.script.is_busy.wait()
            await ticks(turns)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            assert it.script.open == 0
        async with rig(tmp_path, texts(20), top=CAREFUL) as again:
            assert (await again.work()).reason is Reason.FINISHED
            found = again.outcomes()
            assert found["succeeded"] == 20
            assert found["unknown"] <= 4

    run_virtual(main())


def test_leaving_while_the_source_is_being_read_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The scan's thread cannot be cancelled: it ends by itself when its read returns."""
    is_reading, may_go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[dict[str, Any]]:
        yield from texts(2000)
        is_reading.set()
        may_go_on.wait(30)

    async def main() -> None:
        async with rig(tmp_path, slow(), top=CAREFUL) as it:
            working = asyncio.create_task(it.work())
            await asyncio.to_thread(is_reading.wait, 30)
            it.stop.press()
            it.stop.press()
            assert (await working).reason is Reason.INTERRUPTED
            may_go_on.set()

    asyncio.run(main())
    assert not caplog.records


@pytest.mark.parametrize("turns", [*range(0, 60, 6), 80, 120])
def test_leaving_at_any_moment_leaves_attempts_open_or_closed(tmp_path: Path, turns: int) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(6), top=CAREFUL) as it:
            it.script.latency_seconds = 0.01
            working = asyncio.create_task(it.work())
            await ticks(turns)
            it.stop.press()
            it.stop.press()
            await ticks(2)
            it.stop.press()  # where the launch had not begun to listen
            it.stop.press()
            await working
        async with rig(tmp_path, texts(6), top=CAREFUL) as again:
            left = again.outcomes()  # only now is the last commit surely over
            assert left.keys() <= {"succeeded", None}
            assert (await again.work()).reason is Reason.FINISHED
            found, run = again.outcomes(), again.reader.last_run()
            assert found == {"succeeded": 6, **({"unknown": left[None]} if left[None] else {})}
            assert run is not None
            assert run.attempts == found.total()
            assert run.cost == 6 * Decimal("0.00003")
            assert len(again.script.sent) == 6 - left["succeeded"]

    run_virtual(main())


async def test_leaving_during_a_commit_loses_no_answer(tmp_path: Path) -> None:
    async with rig(tmp_path, texts(4), top=CAREFUL) as it:
        other = sqlite3.connect(it.store.path, isolation_level=None, check_same_thread=False)
        is_locked = asyncio.Event()

        def answer(_prompt: str, _before: int) -> Reply:
            if len(it.script.sent) == 4 and not other.in_transaction:  # all are sent
                other.execute("BEGIN IMMEDIATE")  # as a slow disk keeps the commits waiting
                is_locked.set()
            return GOOD

        it.script.answer, it.script.latency_seconds = answer, 0
        working = asyncio.create_task(it.work())
        await is_locked.wait()
        await ticks()
        it.stop.press()
        it.stop.press()
        threading.Timer(0.2, other.close).start()
        assert (await working).reason is Reason.INTERRUPTED
    async with rig(tmp_path, texts(4), top=CAREFUL) as again:  # closing waits for the commit
        assert again.outcomes() == {"succeeded": 4}
