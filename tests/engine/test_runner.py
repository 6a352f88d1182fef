"""The pool: order, slots, retries and defects, on virtual time."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchai.domain import Message, Outcome, Reply, State, Usage
from batchai.engine.flow import Flow
from batchai.engine.outage import Outage
from batchai.engine.runner import Reason
from batchai.engine.worker import Origin, Work, Worker
from batchai.limits import Gate
from batchai.prompts import Rendered
from batchai.spec.models import Limits
from tests.engine.rig import GOOD, rig, texts
from tests.limits.loads import most_in_any
from tests.store.books import add_items, begin
from tests.virtual import run_virtual

CAREFUL = "limits: {concurrency: 4}\nbudget_usd: 5"


def test_each_item_is_sent_once_within_the_slots(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(700), top="limits: {concurrency: 16}") as it:
            assert (await it.work()).reason is Reason.FINISHED
            assert Counter(it.script.sent) == Counter(f"text {n}" for n in range(700))
            assert it.script.most_open <= 16
            assert {row.state for row in it.rows()} == {State.SUCCEEDED}

    run_virtual(main())


def test_items_that_wait_for_a_retry_hold_no_slot_and_stay_bounded(tmp_path: Path) -> None:
    """More items than may wait have a failure: memory does not grow with the input."""
    broken = Reply(Outcome.MALFORMED, status=200, detail="an HTML page")

    async def main() -> None:
        top = "limits: {concurrency: 64}\nattempts: 1000\nstop_if: none"
        async with rig(tmp_path, texts(2200), top=top, answer=lambda *_: broken) as it:
            it.script.latency_seconds = 0.001
            working = asyncio.create_task(it.work())
            while len(it.script.seen) < 2000:  # the store takes real time on a busy machine
                await it.opened.clock.sleep(0.5)
            await it.opened.clock.sleep(1)
            assert len(it.script.seen) <= 2000 + 64
            it.stop.press()
            await working

    run_virtual(main())


def test_only_the_named_items_are_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(600)) as it:
            await it.work()
            stored = it.reader.stored(["k3", "k599"], "main")
            await it.store.ledger.absorb(
                [("reset_step", (item.item_id, "main")) for item in stored.values()]
            )
            launch, _ = it.launch()
            sent = len(it.script.sent)
            end = await launch.work_on(frozenset({stored["k599"].item_id}))
            assert end.reason is Reason.FINISHED
            assert it.script.sent[sent:] == ["text 599"]

    run_virtual(main())


@pytest.mark.parametrize("field", ["usage", "negative", "cost"])
def test_a_usage_that_makes_no_sense_charges_the_worst_case(tmp_path: Path, field: str) -> None:
    usage = {
        "usage": Usage(10**12, output=5),
        "negative": Usage(-1, output=5),
        "cost": Usage(1, output=5, reasoning=6),
    }[field]

    async def main() -> None:
        answer = replace(GOOD, usage=usage)
        async with rig(tmp_path, texts(2), answer=lambda _prompt, _before: answer) as it:
            assert (await it.work()).reason is Reason.FINISHED
            run = it.reader.last_run()
            assert run is not None
            assert run.cost == 0
            assert run.unconfirmed > 0
            assert {row.state for row in it.rows()} == {State.SUCCEEDED}

    run_virtual(main())


def test_a_request_that_cannot_be_made_fails_its_item_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(3)) as it:
            encode = it.script.encode

            def broken(request: Any) -> bytes:
                if request.messages[0].content == "text 1":
                    raise RuntimeError("a defect")
                return encode(request)

            it.script.encode = broken  # type: ignore[method-assign]
            assert (await it.work()).reason is Reason.FINISHED
            assert it.reader.failure_counts("main") == {"unrenderable": 1}
            assert len(it.script.sent) == 2

    run_virtual(main())


def test_a_provider_that_raises_costs_one_attempt_of_one_item(tmp_path: Path) -> None:
    def answer(prompt: str, before: int) -> Reply:
        if prompt == "text 1" and before == 0:
            raise RuntimeError("a defect")
        return GOOD

    async def main() -> None:
        async with rig(tmp_path, texts(3), answer=answer) as it:
            assert (await it.work()).reason is Reason.FINISHED
            assert it.outcomes() == {"succeeded": 3, "malformed": 1}

    run_virtual(main())


def test_a_defect_in_the_scan_drains_and_is_told(tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from texts(1200)
        raise LookupError("a defect of the source")

    async def main() -> None:
        async with rig(tmp_path, broken(), top=CAREFUL) as it:
            end = await it.work()
            assert end.reason is Reason.DEFECT
            assert "LookupError" in end.detail
            assert None not in it.outcomes()

    run_virtual(main())


def test_a_store_that_breaks_while_a_page_is_read_stops_the_run(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(600), top=CAREFUL) as it:
            await it.work()
            await it.store.ledger.absorb([("reset_step", (item, "main")) for item in range(1, 601)])
            launch, _ = it.launch()

            def damaging(prompt: str, _before: int) -> Reply:
                if prompt == "text 50":  # its page is in hand, the next is not
                    with closing(sqlite3.connect(it.store.path)) as other:
                        other.execute("ALTER TABLE items RENAME TO gone")
                return GOOD

            it.script.answer = damaging
            end = await launch.work_on(frozenset(range(1, 601)))
            assert end.reason is Reason.STORE
            assert "no such table" in end.detail
            with closing(sqlite3.connect(it.store.path)) as other:
                other.execute("ALTER TABLE gone RENAME TO items")
            assert None not in it.outcomes()
            assert it.reader.state_counts("main")[State.PENDING] >= 300

    run_virtual(main())


def test_a_broken_store_counts_more_than_the_first_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(6), top=CAREFUL) as it:
            launch, _ = it.launch()
            runner = launch._runner
            runner.stop(Reason.BUDGET)
            runner.stop(Reason.STORE, "spooled")
            runner.stop(Reason.INTERRUPTED)
            end = await runner.run(it.reader)
            assert (end.reason, end.detail) == (Reason.STORE, "spooled")

    run_virtual(main())


@pytest.mark.parametrize(
    "failure",
    [
        Reply(Outcome.SERVER_ERROR, status=500),
        Reply(Outcome.RATE_LIMITED, status=429),
        Reply(Outcome.CONNECTION_LOST, may_be_billed=True),
        Reply(Outcome.MALFORMED, status=200, may_be_billed=True),
    ],
    ids=lambda reply: str(reply.outcome),
)
def test_failed_requests_count_against_the_limit(tmp_path: Path, failure: Reply) -> None:
    async def main() -> None:
        top = "limits: {requests_per_minute: 12}\nstop_if: none"
        answer = lambda _prompt, before: failure if before < 2 else GOOD  # noqa: E731
        async with rig(tmp_path, texts(12), top=top, answer=answer) as it:
            assert (await it.work()).reason is Reason.FINISHED
            assert len(it.script.times) == 3 * 12
            assert most_in_any(60, it.script.times) <= 12

    run_virtual(main())


def test_an_outcome_that_lasts_stops_the_run_and_keeps_items_pending(tmp_path: Path) -> None:
    refused = Reply(Outcome.AUTH_FAILED, status=401, detail="HTTP 401")

    async def main() -> None:
        async with rig(tmp_path, texts(9), top=CAREFUL, answer=lambda *_: refused) as it:
            end = await it.work()
            assert end.reason is Reason.AUTH
            assert len(it.script.sent) <= 4
            assert {row.state for row in it.rows()} == {State.PENDING}

    run_virtual(main())


async def test_what_the_provider_says_about_waiting_holds_before_the_commit(
    tmp_path: Path,
) -> None:
    told = Reply(Outcome.RATE_LIMITED, status=429, retry_after_seconds=100)
    async with rig(tmp_path, texts(1), answer=lambda *_: told) as it:
        await add_items(it.store, 1)
        holds: list[tuple[float, int]] = []
        clock, run = it.opened.clock, begin(it.store)
        worker = Worker(
            it.opened.steps[0],
            ledger=it.store.ledger,
            clock=clock,
            outage=Outage(patience_seconds=3600, clock=clock),
            hold=lambda seconds, _: holds.append((seconds, it.reader.open_attempts()[0])),
            origin=Origin(run.id, 1),
        )
        it.script.latency_seconds = 0
        flow = Flow(it.reader.whole_item(1))
        work = Work(flow, 0, Rendered(None, (Message("user", "x"),)), b"", number=1)
        prepared = worker.prepare(work)
        gate = Gate(Limits(), clock=clock)

        await worker.attempt(work, prepared, await gate.acquire(prepared.ask))

        [(seconds, open_attempts)] = holds
        assert open_attempts == 1
        assert seconds == pytest.approx(100)
        assert it.reader.open_attempts()[0] == 0
