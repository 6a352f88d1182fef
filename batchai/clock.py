"""The only place that asks for the time.

Durations come from the running event loop's monotonic clock, so that a test which runs on a virtual
loop (tests/virtual.py) controls windows, pacing, deadlines and sleeps alike, aiolimiter's too.
"""

import asyncio
from datetime import UTC, datetime


class Clock:
    """Time for the engine; monotonic seconds for durations, UTC for what is written down."""

    def monotonic(self) -> float:
        """Seconds on the running loop's clock, which never steps."""
        return asyncio.get_running_loop().time()

    def utcnow(self) -> datetime:
        """The wall time, UTC-aware."""
        return datetime.now(UTC)

    async def sleep(self, delay_seconds: float) -> None:
        """Wait on the loop's clock."""
        await asyncio.sleep(delay_seconds)

    async def wait(self, event: asyncio.Event, timeout_seconds: float | None) -> bool:
        """True when `event` is set within the time, False when the time is over first."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True
