"""Promise 11: an outage costs a bounded number of retries, and the run goes on by itself after it.

An hour of outage on virtual time, of each kind that a provider has: the number of requests that
left in it is the figure.
"""

from pathlib import Path

import pytest

from batchai.domain import Outcome, Reply
from batchai.engine.runner import Reason
from tests.drills.conftest import Figures
from tests.engine.rig import GOOD, SERVER_ERROR, rig, texts
from tests.virtual import run_virtual

ITEMS = 300
MOST_SENT = 200  # in the hour, one at a time; without a breaker, thousands
BEGIN_SECONDS, HOUR_SECONDS = 20, 3600
SIGNS = {
    "server errors": SERVER_ERROR,
    "overload": Reply(Outcome.OVERLOADED, status=529),
    "overload with a time to wait": Reply(Outcome.OVERLOADED, status=503, retry_after_seconds=20),
    "no connection": Reply(Outcome.CONNECTION_LOST),
    "silence": Reply(Outcome.TIMED_OUT, may_be_billed=True),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_an_hour_of_outage_is_sat_out(tmp_path: Path, figures: Figures, sign: str) -> None:
    async def main() -> int:
        async with rig(tmp_path, texts(ITEMS), top="limits: {max_wait: 2h}") as it:
            clock = it.opened.clock
            begin = clock.monotonic() + BEGIN_SECONDS
            end = begin + HOUR_SECONDS

            def answer(_prompt: str, _before: int) -> Reply:
                return SIGNS[sign] if begin <= clock.monotonic() < end else GOOD

            it.script.answer = answer
            assert (await it.work()).reason is Reason.FINISHED
            assert {row.state for row in it.rows()} == {"succeeded"}
            assert clock.monotonic() < end + 600
            return sum(begin <= at < end for at in it.script.times)

    sent = run_virtual(main())
    assert sent <= MOST_SENT
    figures(promise=11, outage_seconds=HOUR_SECONDS, sent_in_it=sent, failed_for_it=0)
