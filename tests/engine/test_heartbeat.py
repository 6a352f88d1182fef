"""What a launch says and does when nothing moves, when the machine slept, when time to drain is up.

On virtual time: hours of standing still pass at once.
"""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from batchai.domain import Outcome, Reply
from batchai.engine.heartbeat import ClockGap, Watchdog
from batchai.engine.runner import Reason
from batchai.operations.console import Silence
from tests.engine.rig import GOOD, Rig, rig, texts
from tests.virtual import VirtualClock, run_virtual

CAREFUL = "limits: {concurrency: 4}\nbudget_usd: 5"


class Listener(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def listen(it: Rig) -> list[str]:
    """What the launch says from now on."""
    listener = Listener()
    object.__setattr__(it.opened, "console", listener)
    return listener.lines


def sleep_through(clock: VirtualClock, hours: int) -> None:
    """The wall clock goes on, the monotonic one stood still: a suspended machine."""
    clock._epoch += timedelta(hours=hours)


def test_a_watchdog_speaks_after_a_minute_and_then_ever_more_seldom() -> None:
    async def main() -> None:
        clock = VirtualClock()
        dog, said = Watchdog(clock), []
        for second in range(1000):
            if dog.look("the same") is not None:
                said.append(second)
            await clock.sleep(1)
        assert said == [pytest.approx(at, abs=1) for at in (60, 120, 240, 480, 960)]
        assert dog.look("moved") is None

    run_virtual(main())


def test_a_gap_is_a_wall_clock_that_went_on_or_a_look_that_came_too_late() -> None:
    async def main() -> None:
        clock = VirtualClock()
        gap = ClockGap(clock)
        await clock.sleep(5)
        assert gap.look() is None
        sleep_through(clock, 3)
        assert gap.look() == pytest.approx(3 * 3600)
        assert gap.look() is None
        await clock.sleep(60)
        assert gap.look() == pytest.approx(60)
        sleep_through(clock, -1)  # set back by hand
        assert gap.look() is None

    run_virtual(main())


def test_a_run_in_which_nothing_moves_says_so_and_what_it_waits_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(8), top=CAREFUL) as it:
            lines = listen(it)
            it.script.latency_seconds = 150
            await it.work()
            assert lines == [
                "Nothing has moved for 1:00 min: waits for slots; "
                "4 requests in flight, each until its deadline.",
                "Nothing has moved for 2:00 min: waits for slots; "
                "4 requests in flight, each until its deadline.",
                *["Nothing has moved for 1:00 min: 4 requests in flight, each until its deadline."],
                *["Nothing has moved for 2:00 min: 4 requests in flight, each until its deadline."],
            ]

    run_virtual(main())


def test_an_outage_is_named_by_the_watchdog(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(8), top="limits: {max_wait: 10m}") as it:
            lines = listen(it)
            it.script.answer = lambda *_: Reply(Outcome.SERVER_ERROR, status=502, detail="HTTP 502")
            assert (await it.work()).reason is Reason.OUTAGE
            assert any("waits for the provider" in line and "HTTP 502" in line for line in lines)

    run_virtual(main())


def test_after_the_machine_slept_connections_are_new_and_the_rate_ramps_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(100), top="limits: {concurrency: 7}") as it:
            lines, clock = listen(it), it.opened.clock
            assert isinstance(clock, VirtualClock)
            working = asyncio.create_task(it.work())
            await clock.sleep(5.5)
            assert it.script.open == 7
            sleep_through(clock, 9)
            lost = Reply(Outcome.CONNECTION_LOST, may_be_billed=True)
            woken_at = clock.monotonic()
            it.script.answer = lambda *_: lost if clock.monotonic() < woken_at + 1 else GOOD
            await clock.sleep(0.5)
            assert it.script.reconnected == 1
            await clock.sleep(0.8)  # what was in flight is lost, a few follow
            assert it.script.open == 4
            assert (await working).reason is Reason.FINISHED
            assert it.script.reconnected == 1
            assert lines == [
                "The machine or this process stood still for 9:00 h: going on over new "
                "connections, slowly at first."
            ]

    run_virtual(main())


def test_a_pause_is_no_time_of_work(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(4), top=CAREFUL) as it:
            launch, _ = it.launch()
            clock = it.opened.clock
            await launch.control.resume()  # of a run that was paused before
            await clock.sleep(10)
            await launch.control.pause()
            await clock.sleep(100)
            await launch.control.pause()
            await clock.sleep(100)
            assert launch.paused_seconds == pytest.approx(200, abs=1)
            await launch.control.resume()
            await clock.sleep(1000)
            await launch.control.pause()
            await clock.sleep(50)
            assert launch.paused_seconds == pytest.approx(250, abs=1)

    run_virtual(main())


def test_a_drain_ends_when_its_time_is_over_and_the_rest_is_unknown(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(20), top=CAREFUL) as it:
            lines, clock = listen(it), it.opened.clock
            it.drain_seconds, it.script.latency_seconds = 20, 100
            working = asyncio.create_task(it.work())
            await it.script.is_busy.wait()
            pressed_at = clock.monotonic()
            it.stop.press()
            assert (await working).reason is Reason.INTERRUPTED
            assert clock.monotonic() - pressed_at == pytest.approx(20, abs=1)
            assert lines[0].startswith("Finishing 4 in flight for up to 20 s")
            assert lines[1] == "The time of --drain is over. What was in flight counts as unknown."
            assert it.outcomes() == {None: 4}
        async with rig(tmp_path, texts(20), top=CAREFUL) as again:
            assert (await again.work()).reason is Reason.FINISHED
            assert again.outcomes() == {"unknown": 4, "succeeded": 20}

    run_virtual(main())


def test_a_drain_that_is_done_in_time_says_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(20), top=CAREFUL) as it:
            lines = listen(it)
            it.drain_seconds = 20
            working = asyncio.create_task(it.work())
            await it.script.is_busy.wait()
            it.stop.press()
            await working
            await it.opened.clock.sleep(60)
            assert len(lines) == 1
            assert it.outcomes() == {"succeeded": 4}

    run_virtual(main())


def test_a_first_signal_while_a_run_drains_for_another_reason_does_not_leave(
    tmp_path: Path,
) -> None:
    """A container is stopped while a run whose account is empty waits for its paid answers."""

    def answer(prompt: str, _before: int) -> Reply:
        return Reply(Outcome.QUOTA_EXHAUSTED, status=429) if prompt == "text 0" else GOOD

    async def main() -> None:
        top = "limits: {requests_per_minute: 60}"  # one a second: the others are in flight then
        async with rig(tmp_path, texts(20), top=top, answer=answer) as it:
            it.script.latency_seconds = 2.5
            working = asyncio.create_task(it.work())
            await it.opened.clock.sleep(3)
            it.stop.press()
            assert (await working).reason is Reason.QUOTA
            assert it.outcomes() == {"quota_exhausted": 1, "succeeded": 2}

    run_virtual(main())
