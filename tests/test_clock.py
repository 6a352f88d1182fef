"""The time: durations never step, whatever is done to the wall clock."""

import asyncio
from datetime import datetime, timedelta

from batchai.clock import Clock


class _Stepping(Clock):
    """The wall clock is set back by an hour at each look."""

    _behind = timedelta()

    def utcnow(self) -> datetime:
        self._behind += timedelta(hours=1)
        return super().utcnow() - self._behind


async def test_durations_do_not_follow_the_wall_clock() -> None:
    clock = _Stepping()
    times = [clock.monotonic() for _ in range(3)]

    assert times == sorted(times)
    assert times[-1] <= asyncio.get_running_loop().time()
