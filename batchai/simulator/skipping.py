"""An event loop that skips idle time: a night of waiting for limits passes in seconds.

Its clock is the real one plus what was skipped. Work takes as long as it takes (computing, disk,
threads); only when nothing is ready and nobody works does the clock move on to the next timer. So
what runs on it measures the time that it would have taken.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_LOOK_AGAIN_SECONDS = 5e-5  # what has just been sent over the loopback may not have arrived


class SkippingLoop(asyncio.SelectorEventLoop):
    """Client and server must both run on it: it cannot see that another process is busy."""

    def __init__(self) -> None:
        selector = _SkippingSelector()
        selector.loop = self
        self.threads_at_work = 0
        self.skipped_seconds = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """Seconds of the real monotonic clock, and those that were skipped."""
        return time.monotonic() + self.skipped_seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """No time is skipped while the thread works."""
        future = super().run_in_executor(executor, func, *args)
        self.threads_at_work += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *patience: Any) -> None:
        """Joins the threads in real time."""
        self.threads_at_work += 1
        await super().shutdown_default_executor(*patience)

    def _thread_done(self, _future: object) -> None:
        self.threads_at_work -= 1


class _SkippingSelector(selectors.DefaultSelector):
    loop: SkippingLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; else nothing, and the time until the next timer is over."""
        if timeout is None or timeout <= 0 or self.loop.threads_at_work:
            return super().select(timeout)
        if events := super().select(0):
            return events
        time.sleep(_LOOK_AGAIN_SECONDS)
        if events := super().select(0):
            return events
        self.loop.skipped_seconds += timeout
        return []
