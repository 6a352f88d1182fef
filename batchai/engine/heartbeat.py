"""Looks a few times a second during a launch: does it move, and has it slept?"""

from datetime import datetime

from batchai.clock import Clock

STILL_SECONDS = 60.0  # before it is said for the first time; then after twice as long each time
GAP_SECONDS = 30.0  # the machine was suspended, or the process stopped


class Watchdog:
    """Notices that nothing moves."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moved: object = None
        self._since = clock.monotonic()
        self._patience = STILL_SECONDS

    def look(self, moved: object) -> float | None:
        """How long `moved` has been the same, in seconds, each time that this is worth saying."""
        now = self._clock.monotonic()
        if moved != self._moved:
            self._moved, self._since, self._patience = moved, now, STILL_SECONDS
            return None
        still = now - self._since
        if still < self._patience:
            return None
        self._patience = 2 * still
        return still


class ClockGap:
    """Notices a suspended machine: the wall clock went on, or the last look is too long ago.

    The monotonic clock stands still in a suspended Linux or macOS, and goes on in Windows. A wall
    clock that was set forward by as much looks the same, and does no harm.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = self._now()

    def look(self) -> float | None:
        """How long the machine slept since the last look, in seconds, if it did."""
        before, self._seen = self._seen, self._now()
        asleep = (self._seen[1] - before[1]).total_seconds()
        late = self._seen[0] - before[0]
        gap = max(asleep, late)
        return gap if gap >= GAP_SECONDS else None

    def _now(self) -> tuple[float, datetime]:
        return self._clock.monotonic(), self._clock.utcnow()
