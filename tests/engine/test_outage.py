"""How long a provider that does not serve is sat out, on virtual time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from batchai.domain import LimitNotice, Outcome, Reply, Standing, State
from batchai.engine.outage import Hold, Outage
from batchai.engine.quota import RETRY_COST, TOKENS
from batchai.engine.runner import Reason
from tests.engine.rig import GOOD, SERVER_ERROR, Rig, rig, texts
from tests.virtual import VirtualClock, run_virtual

REFUSED = Reply(Outcome.CONNECTION_LOST, detail="refused")
OVERLOADED = Reply(Outcome.OVERLOADED, status=529)
RATE_LIMITED = Reply(Outcome.RATE_LIMITED, status=429)


def held(outage: Outage, *replies: Reply) -> list[float]:
    """Seconds of hold after each of them; 0 where nothing is held."""
    return [hold.seconds if (hold := outage.take(reply)) else 0.0 for reply in replies]


def probes(outage: Outage, reply: Reply) -> bool:
    """Whether one request at a time may leave after it."""
    hold = outage.take(reply)
    return hold is not None and hold.probe


def an_outage(clock: VirtualClock, patience: float = 3600) -> Outage:
    return Outage(patience_seconds=patience, clock=clock)


@pytest.mark.parametrize("reply", [OVERLOADED, RATE_LIMITED], ids=["overloaded", "rate_limited"])
def test_being_told_to_wait_holds_at_once_and_doubles_up_to_a_minute(reply: Reply) -> None:
    async def main() -> None:
        clock = VirtualClock()
        outage, holds = an_outage(clock), []
        for _ in range(10):
            holds += held(outage, reply)
            await clock.sleep(holds[-1] + 0.01)
        assert holds == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60])

    run_virtual(main())


def test_failures_in_flight_together_are_one_sign() -> None:
    async def main() -> None:
        outage = an_outage(VirtualClock())
        holds = held(outage, *[OVERLOADED] * 50)
        assert holds == [0.5, *[pytest.approx(0.5, abs=1e-3)] * 49]

    run_virtual(main())


def test_other_failures_hold_only_when_many_come_in_a_row() -> None:
    async def main() -> None:
        outage = an_outage(VirtualClock())
        assert held(outage, *[SERVER_ERROR] * 7) == [0] * 7
        assert not outage.explains(Outcome.SERVER_ERROR)
        assert outage.take(SERVER_ERROR) == Hold(0.5, probe=True)
        assert outage.explains(Outcome.SERVER_ERROR)
        assert not outage.explains(Outcome.MALFORMED)
        assert outage.take(GOOD) is None
        assert not outage.explains(Outcome.SERVER_ERROR)
        assert outage.take(SERVER_ERROR) is None

    run_virtual(main())


def test_a_provider_that_has_not_recovered_after_a_hold_is_probed() -> None:
    async def main() -> None:
        clock = VirtualClock()
        outage = an_outage(clock)
        assert not any(probes(outage, OVERLOADED) for _ in range(50))
        await clock.sleep(0.6)
        assert probes(outage, OVERLOADED)
        assert outage.waits_for == "the provider (overloaded)"
        await clock.sleep(200)
        assert outage.waits_for == "the provider, for 3 min now (overloaded)"
        outage.take(GOOD)
        assert outage.waits_for is None
        assert not probes(outage, OVERLOADED)

    run_virtual(main())


def test_more_failures_than_the_retry_quota_pays_for_are_an_outage_too() -> None:
    """Half of the requests served: never many failures in a row, but every retry adds load."""

    async def main() -> None:
        outage, retries = an_outage(VirtualClock()), 0
        while not probes(outage, SERVER_ERROR):
            outage.take(GOOD)
            retries += 1
        assert retries == (TOKENS - RETRY_COST) // (RETRY_COST - 1) + 1
        for _ in range(RETRY_COST):
            assert outage.take(GOOD) is None
        assert outage.take(SERVER_ERROR) is None

    run_virtual(main())


def test_the_providers_own_word_counts() -> None:
    async def main() -> None:
        outage = an_outage(VirtualClock())
        limited = Reply(Outcome.RATE_LIMITED, retry_after_seconds=17.5)
        assert held(outage, limited) == [pytest.approx(17.5)]
        assert not outage.is_over_patience()

    run_virtual(main())


def test_a_provider_that_asks_for_longer_than_the_job_waits_is_not_sat_out() -> None:
    async def main() -> None:
        outage = an_outage(VirtualClock(), patience=3600)
        outage.take(Reply(Outcome.RATE_LIMITED, detail="HTTP 429", retry_after_seconds=86_400))
        assert outage.is_over_patience()
        assert outage.reason == (
            "rate_limited: HTTP 429; it asks to wait 86,400 s, which is more than limits.max_wait"
        )

    run_virtual(main())


@pytest.mark.parametrize(
    ("first", "failure", "seconds"),
    [
        pytest.param([], REFUSED, 60, id="nothing was ever there"),
        pytest.param([], SERVER_ERROR, 3600, id="something speaks"),
        pytest.param([GOOD], REFUSED, 3600, id="it has served"),
        pytest.param([REFUSED, GOOD], REFUSED, 3600, id="it has served after a failure"),
    ],
)
def test_patience_is_short_where_nothing_was_ever_there(
    first: list[Reply], failure: Reply, seconds: float
) -> None:
    async def main() -> None:
        clock = VirtualClock()
        outage = an_outage(clock)
        held(outage, *first, failure)
        await clock.sleep(seconds - 1)
        assert not outage.is_over_patience()
        await clock.sleep(2)
        assert outage.is_over_patience()
        outage.take(GOOD)
        assert not outage.is_over_patience()

    run_virtual(main())


def test_a_time_in_which_nothing_was_sent_takes_nothing_of_the_patience() -> None:
    """A pause of the user, or a limit per day, between two failures."""

    async def main() -> None:
        clock = VirtualClock()
        outage = an_outage(clock, patience=3600)
        held(outage, GOOD, RATE_LIMITED)
        await clock.sleep(86_400)
        outage.take(RATE_LIMITED, asked_seconds=2)
        assert not outage.is_over_patience()
        for _ in range(61):  # held by the outage itself
            await clock.sleep(60)
            outage.take(RATE_LIMITED)
        assert outage.is_over_patience()

    run_virtual(main())


def test_a_request_that_hangs_is_no_silence_of_ours() -> None:
    async def main() -> None:
        clock = VirtualClock()
        outage = an_outage(clock, patience=1200)
        held(outage, GOOD, OVERLOADED)
        for _ in range(2):
            await clock.sleep(600)
            outage.take(Reply(Outcome.TIMED_OUT), asked_seconds=599)
        assert outage.is_over_patience()

    run_virtual(main())


def test_an_hour_of_outage_costs_a_bounded_number_of_requests_and_is_survived(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(300), top="limits: {max_wait: 2h}") as it:
            clock = it.opened.clock
            begin = clock.monotonic()

            def answer(_prompt: str, _before: int) -> Reply:
                is_down = 20 <= clock.monotonic() - begin < 3620
                return SERVER_ERROR if is_down else GOOD

            it.script.answer = answer
            assert (await it.work()).reason is Reason.FINISHED
            assert {row.state for row in it.rows()} == {State.SUCCEEDED}
            assert it.outcomes()["server_error"] < 8 + 70  # in flight, then a probe a minute
            assert 3620 < clock.monotonic() - begin < 3900
            probing = [at - begin for at in it.script.times if 30 < at - begin < 3620]
            assert all(after - at > 1 for at, after in pairwise(probing))  # one at a time

    run_virtual(main())


def test_an_outage_beyond_max_wait_stops_the_run_and_keeps_items_pending(tmp_path: Path) -> None:
    def answers() -> Iterator[Reply]:
        yield GOOD
        while True:
            yield REFUSED

    async def main() -> None:
        replies = answers()
        top = "limits: {max_wait: 10m}"
        async with rig(tmp_path, texts(40), top=top, answer=lambda *_: next(replies)) as it:
            begin = it.opened.clock.monotonic()
            end = await it.work()
            assert (end.reason, end.detail) == (Reason.OUTAGE, "connection_lost: refused")
            assert 500 < it.opened.clock.monotonic() - begin < 700
            assert it.reader.state_counts("main") == {State.SUCCEEDED: 1, State.PENDING: 39}

    run_virtual(main())


DAY_LIMIT = 60  # requests; then nothing is served for five hours
FIVE_HOURS = 5 * 3600


@pytest.mark.parametrize("tells", [True, False], ids=["Retry-After", "bare 429"])
def test_a_day_limit_that_is_reached_is_sat_out_where_max_wait_allows_it(
    tmp_path: Path, tells: bool
) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(100), top="limits: {max_wait: 6h}") as it:
            answer = _until_midnight(it, tells=tells)
            it.script.answer = answer
            begin = it.opened.clock.monotonic()
            assert (await it.work()).reason is Reason.FINISHED
            assert FIVE_HOURS < it.opened.clock.monotonic() - begin < FIVE_HOURS + 600
            probes = 1 if tells else FIVE_HOURS / 60
            assert it.outcomes()["rate_limited"] <= 16 + probes + 10  # in flight; holds doubling
            assert it.outcomes()["succeeded"] == 100

    run_virtual(main())


@pytest.mark.parametrize(
    ("tells", "words", "waited_seconds"),
    [
        (True, " s, which is more than limits.max_wait", 60),
        (False, "rate_limited: HTTP 429: requests per day", 3700),
    ],
    ids=["Retry-After", "bare 429"],
)
def test_a_day_limit_that_takes_longer_than_max_wait_stops_the_run_with_the_reason(
    tmp_path: Path, tells: bool, words: str, waited_seconds: float
) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(100), top="limits: {max_wait: 1h}") as it:
            it.script.answer = _until_midnight(it, tells=tells)
            begin = it.opened.clock.monotonic()
            end = await it.work()
            assert end.reason is Reason.OUTAGE
            assert words in end.detail
            assert it.opened.clock.monotonic() - begin < waited_seconds
            counts = it.reader.state_counts("main")
            assert counts == {State.SUCCEEDED: DAY_LIMIT, State.PENDING: 100 - DAY_LIMIT}
        async with rig(tmp_path, texts(100)) as tomorrow:
            assert (await tomorrow.work()).reason is Reason.FINISHED
            assert len(tomorrow.script.sent) == 100 - DAY_LIMIT

    run_virtual(main())


def _until_midnight(it: Rig, *, tells: bool) -> Callable[[str, int], Reply]:
    """Serves the day's limit, and again from the next day on; its headers speak of days."""
    clock = it.opened.clock
    midnight = clock.monotonic() + FIVE_HOURS
    served = 0

    def answer(_prompt: str, _before: int) -> Reply:
        nonlocal served
        now = clock.monotonic()
        limits = LimitNotice(requests=Standing(DAY_LIMIT, max(0, DAY_LIMIT - served), FIVE_HOURS))
        if served < DAY_LIMIT or now >= midnight:
            served += 1
            return replace(GOOD, limits=limits)
        wait = float(math.ceil(midnight - now)) if tells else None
        detail = "HTTP 429: requests per day"
        return replace(RATE_LIMITED, detail=detail, retry_after_seconds=wait, limits=limits)

    return answer


def test_an_item_that_breaks_its_server_fails_while_others_are_served(tmp_path: Path) -> None:
    def answer(prompt: str, _before: int) -> Reply:
        return SERVER_ERROR if prompt == "text 3" else GOOD

    async def main() -> None:
        async with rig(tmp_path, texts(400), answer=answer) as it:
            assert (await it.work()).reason is Reason.FINISHED
            assert it.reader.failure_counts("main") == {"server_error": 1}
            assert it.script.seen["text 3"] == 5

    run_virtual(main())
