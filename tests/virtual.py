"""A virtual-time event loop: hours of timers pass in milliseconds.

`time()` stands still while anything is ready (but for a nanosecond a turn: no real clock repeats
itself) and jumps to the next timer when nothing is. While real work is pending (a socket besides
the loop's own, or a job in an executor) the loop waits for it in real time instead. When nothing is
ready, no timer is set and no work is pending, nothing can ever happen again: DeadlockError at once.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

from batchai.clock import Clock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
EPOCH = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
START_SECONDS = 1_000.0  # not 0: a monotonic clock starts anywhere


class DeadlockError(RuntimeError):
    """Every task waits and nothing is left that could wake one."""


class _JumpingSelector(selectors.BaseSelector):
    """Selects on the real selector, but passes idle time by moving the loop's clock."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualLoop | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        assert loop is not None
        if (
            len(self._real.get_map()) > 1 or loop.threads_at_work
        ):  # 1 is the loop's own wake-up pipe
            return self._wait_in_real_time(loop, timeout)
        events = self._real.select(0)
        if events or timeout == 0:
            loop.creep()
            return events
        if timeout is None:
            raise DeadlockError("every task waits and no timer is set")
        loop.jump(timeout)
        return []

    def _wait_in_real_time(
        self, loop: "VirtualLoop", timeout: float | None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        begin = time.monotonic()
        events = self._real.select(timeout)
        loop.jump(time.monotonic() - begin if events or timeout is None else timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """lateness: seconds by which each jump overshoots its timer, as a busy machine's wake-ups."""

    def __init__(self, lateness: Callable[[], float] = lambda: 0.0) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.threads_at_work = 0
        self._lateness = lateness
        self._now = START_SECONDS
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def creep(self) -> None:
        """Let the nanosecond of a busy turn pass."""
        self._now += 1e-9

    def jump(self, seconds: float) -> None:
        """Let `seconds` pass, and the lateness."""
        self._now += seconds + self._lateness()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.threads_at_work += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self) -> None:
        self.threads_at_work += 1  # it joins its threads through the wake-up pipe
        await super().shutdown_default_executor()

    def _thread_done(self, _future: object) -> None:
        self.threads_at_work -= 1


class VirtualClock(Clock):
    """A Clock whose wall time follows the virtual loop's from `epoch` on."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self._epoch = epoch

    def utcnow(self) -> datetime:
        return self._epoch + timedelta(seconds=self.monotonic() - START_SECONDS)


def run_virtual(main: Coroutine[Any, Any, T], *, lateness: Callable[[], float] = lambda: 0.0) -> T:
    """Run `main` to its end on a fresh VirtualLoop; raises DeadlockError when it can never end."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(lateness)) as runner:
        return runner.run(main)
