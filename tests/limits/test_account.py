"""What the gate makes of the limits that replies name."""

import asyncio
from collections.abc import Callable

import pytest

from batchai.domain import LimitNotice, Standing
from batchai.limits import Ask, Gate, Past
from batchai.spec.models import Limits
from tests.limits.loads import SMALL, finish, most_in_any, settle_down
from tests.virtual import VirtualClock, run_virtual

Say = Callable[[int, float], LimitNotice]  # requests so far, seconds


async def admitted(
    limits: Limits, say: Say, *, seconds: float, past: tuple[Past, ...] = ()
) -> list[float]:
    """Stamps of the admissions in so many seconds, each answered at once with a notice."""
    clock = VirtualClock()
    gate = Gate(limits, clock=clock, past=past)
    begin, stamps = clock.monotonic(), list[float]()
    while clock.monotonic() - begin < seconds:
        permit = await gate.acquire(SMALL)
        stamps.append(clock.monotonic() - begin)
        permit.heed(say(len(stamps), stamps[-1]))
        finish(permit)
        await clock.sleep(0.001)
    return [stamp for stamp in stamps if stamp < seconds]


def quiet(limit: int) -> Say:
    """A bucket of which only we take: full again when what we took has flowed in."""

    def say(count: int, seconds: float) -> LimitNotice:
        missing = max(0.0, count - seconds * limit / 60)
        remaining = max(0, int(limit - missing))
        return LimitNotice(requests=Standing(limit, remaining, missing / limit * 60))

    return say


def test_with_no_limits_given_it_uses_80_percent_of_the_accounts() -> None:
    stamps = run_virtual(admitted(Limits(), quiet(600), seconds=300))

    assert most_in_any(60, stamps) <= 480
    assert len(stamps) >= 0.98 * 480 * 5


@pytest.mark.parametrize(
    ("given", "expected"), [(300, 300), (600, 500)], ids=["below the account's", "above it"]
)
def test_a_limit_of_the_user_is_only_bounded_by_the_accounts(given: int, expected: int) -> None:
    limits = Limits(requests_per_minute=given)

    stamps = run_virtual(admitted(limits, quiet(500), seconds=300))

    assert most_in_any(60, stamps) <= expected
    assert len(stamps) >= 0.97 * expected * 5


def test_what_others_take_is_left_to_them() -> None:
    def say(_count: int, _seconds: float) -> LimitNotice:
        return LimitNotice(requests=Standing(600, 10, 59.0))  # the others have all but ten

    stamps = run_virtual(admitted(Limits(), say, seconds=120))

    assert len(stamps) <= 62  # one look in two seconds


def test_a_reply_with_no_limits_lifts_none() -> None:
    def say(count: int, seconds: float) -> LimitNotice:
        return quiet(60)(count, seconds) if count < 5 else LimitNotice()

    assert most_in_any(60, run_virtual(admitted(Limits(), say, seconds=300))) <= 48


def test_a_raised_limit_of_the_account_is_used_once_it_is_told() -> None:
    def say(_count: int, seconds: float) -> LimitNotice:
        limit = 60 if seconds < 120 else 600
        return LimitNotice(requests=Standing(limit, limit - 2, 120 / limit))

    stamps = run_virtual(admitted(Limits(), say, seconds=180))

    assert sum(stamp < 120 for stamp in stamps) <= 2 * 48 + 1
    assert sum(stamp > 121 for stamp in stamps) > 300


@pytest.mark.parametrize(
    "standing",
    [
        Standing(0, 0, 1.0),
        Standing(10, 11, 1.0),
        Standing(10, -1, 1.0),
        Standing(10, 9, 8_640.0),
    ],
    ids=["of nothing", "more than all", "less than nothing", "per day"],
)
def test_what_makes_no_sense_or_is_per_day_is_not_heeded(standing: Standing) -> None:
    notice = LimitNotice(requests=standing)

    stamps = run_virtual(admitted(Limits(), lambda *_: notice, seconds=10))

    assert len(stamps) > 1_000


def test_news_that_are_older_than_the_last_change_nothing() -> None:
    async def main() -> str | None:
        clock = VirtualClock()
        gate = Gate(Limits(), clock=clock)
        early = await gate.acquire(SMALL)
        await clock.sleep(1)
        late = await gate.acquire(SMALL)
        late.heed(LimitNotice(requests=Standing(600, 598, 0.2)))
        early.heed(LimitNotice(requests=Standing(600, 0, 60.0)))
        await clock.sleep(1)
        waiter = asyncio.create_task(gate.acquire(SMALL))
        await settle_down()
        waiter.cancel()
        return gate.waiting_for

    assert run_virtual(main()) is None


def test_it_says_which_limit_it_waits_for() -> None:
    async def main() -> str | None:
        gate = Gate(Limits(), clock=VirtualClock())
        permit = await gate.acquire(Ask(100, 10))
        permit.heed(LimitNotice(input_tokens=Standing(1_000, 0, 60.0)))
        waiter = asyncio.create_task(gate.acquire(Ask(900, 10)))
        await settle_down()
        reason = gate.waiting_for
        waiter.cancel()
        return reason

    assert run_virtual(main()) == "input tokens per minute of the account"


def test_after_a_restart_what_was_sent_before_counts_as_ours() -> None:
    """Half a minute's share was sent before the kill; what remains says so too, of all users."""
    past = tuple(Past(age_seconds=1 + n / 10, input_tokens=10, output_tokens=5) for n in range(240))

    def say(count: int, seconds: float) -> LimitNotice:
        return quiet(600)(count + 240, seconds + 24)

    stamps = run_virtual(admitted(Limits(), say, seconds=35, past=past))

    assert len(stamps) + 240 <= 480
    assert len(stamps) >= 200
