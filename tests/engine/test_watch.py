"""A job that breaks costs little more than it takes to know it; a healthy one is not slowed."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.domain import Outcome, Reply, State, Usage
from batchai.engine.canary import Failure
from batchai.engine.runner import Reason
from batchai.engine.watch import Watch
from tests.engine.rig import GOOD, SERVER_ERROR, rig, texts
from tests.virtual import run_virtual

PROSE = Reply(Outcome.SUCCEEDED, text="The mood is good.", usage=Usage(20, output=5), status=200)
FAILED = Failure("invalid", "not JSON")
WIDE = "limits: {concurrency: 64}"


def a_watch() -> Watch:
    """One whose canary has passed."""
    watch = Watch(share=Decimal("0.5"), of_last=50)
    for item in range(50):
        watch.begin()
        watch.succeeded(-item)
    return watch


def doubted(watch: Watch) -> Watch:
    """Thirty items in a row had a bad answer and are to be asked again."""
    for item in range(30):
        watch.ask_again(item, Outcome.INVALID)
    return watch


def test_when_most_items_begin_badly_only_those_that_decide_are_asked_on() -> None:
    watch = doubted(a_watch())
    assert not watch.may_begin
    asked = 0
    while watch.may_ask(asked):
        watch.ask(asked)
        asked += 1
    assert asked == 25  # half of the last fifty

    assert watch.failed(0, FAILED) is None
    assert not watch.may_ask(25)
    watch.succeeded(1)
    assert watch.may_ask(25)


def test_suspects_stop_nothing_until_they_have_failed() -> None:
    watch = doubted(a_watch())
    assert all(watch.failed(item, FAILED) is None for item in range(24))
    assert str(watch.failed(24, FAILED)).startswith("25 of the last 50 items failed")


def test_a_few_bad_answers_hold_nothing_back() -> None:
    watch = a_watch()
    for item in range(100, 200):
        if item % 3:
            watch.succeeded(item)
        else:
            watch.ask_again(item, Outcome.INVALID)  # many are suspects at once, of many more
            assert watch.may_begin
            assert watch.may_ask(item)
            watch.ask(item)


@pytest.mark.parametrize("outcome", [Outcome.SERVER_ERROR, Outcome.RATE_LIMITED])
def test_what_the_provider_does_not_serve_makes_no_suspect(outcome: Outcome) -> None:
    watch = a_watch()
    for item in range(100):
        watch.ask_again(item, outcome)
    assert watch.may_begin


def from_item(first: int, reply: Reply) -> Callable[[str, int], Reply]:
    """The reply to items from this number on, a good one to those before."""
    return lambda prompt, _before: reply if number(prompt) >= first else GOOD


def number(prompt: str) -> int:
    """Of the item, from its text; a request with feedback begins with the same prompt."""
    return int(prompt.rpartition(" ")[2])


def test_a_job_that_breaks_in_mid_run_is_stopped_within_what_two_hundred_items_cost(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(900), top=WIDE, answer=from_item(500, PROSE)) as it:
            end = await it.work()
            assert end.reason is Reason.STOP_IF
            assert end.detail.startswith("25 of the last 50 items failed, 25 of them invalid")
            bad = sum(number(prompt) >= 500 for prompt in it.script.sent)
            assert bad < 64 + 25 * 2 + 25  # in flight, those that decided, and a little
            assert it.reader.state_counts("main")[State.FAILED] < 50

    run_virtual(main())


def test_a_job_that_is_broken_from_the_start_costs_what_its_canary_costs(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, texts(900), top=WIDE, answer=lambda *_: PROSE) as it:
            end = await it.work()
            assert end.reason is Reason.STOP_IF
            assert end.detail.startswith("11 of the first 20 items failed")
            assert len(it.script.sent) <= 20 + 11 * 2 + 4

    run_virtual(main())


def test_a_job_whose_answers_all_need_a_repair_is_finished(tmp_path: Path) -> None:
    def answer(_prompt: str, before: int) -> Reply:
        return PROSE if before == 0 else GOOD

    async def main() -> None:
        async with rig(tmp_path, texts(300), top=WIDE, answer=answer) as it:
            assert (await it.work()).reason is Reason.FINISHED
            assert it.reader.state_counts("main") == {State.SUCCEEDED: 300}

    run_virtual(main())


def test_an_outage_amid_repairs_holds_none_of_them_for_ever(tmp_path: Path) -> None:
    def answer(prompt: str, before: int) -> Reply:
        if number(prompt) < 100:
            return GOOD
        return [PROSE, SERVER_ERROR, GOOD][min(before, 2)]

    async def main() -> None:
        async with rig(tmp_path, texts(300), top=WIDE, answer=answer) as it:
            assert (await it.work()).reason is Reason.FINISHED
            assert it.reader.state_counts("main") == {State.SUCCEEDED: 300}

    run_virtual(main())
