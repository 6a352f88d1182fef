"""How large the others' bursts are: learnt from how what they hold of a limit grows and falls."""

import math
from collections import deque

SPAN_SECONDS = 2.0  # from a burst to our hearing of it
_LOOK_SECONDS = 0.1
_MEMORY_SECONDS = 900.0


class Bursts:
    """Watches the others' part of a window.

    A burst shows twice, as it comes and as it leaves the window; steady work never does: a swing is
    by how much more or less the part has grown in one span than in the one before.
    """

    __slots__ = ("_began_at", "_fourths", "_held", "_squares")

    def __init__(self) -> None:
        self._held = deque[tuple[float, float]]()  # when, and what others held of the window
        self._began_at = 0.0
        self._squares = self._fourths = 0.0  # means of the swings' powers

    @property
    def size(self) -> float:
        """About how large a typical burst is; that of chance, where single requests come.

        The root of the mean fourth power over the mean square, which hardly asks how often they
        come: of what comes now and then, the quiet between weighs on both means alike.
        """
        return math.sqrt(self._fourths / self._squares) if self._squares else 0.0

    def watch(self, others: float, at: float) -> None:
        """Take in what others held `at`; never older than the last."""
        held = self._held
        if not held:
            self._began_at = at
            held.append((at, others))
            return
        elapsed = at - held[-1][0]
        if elapsed < _LOOK_SECONDS:
            return
        held.append((at, others))
        while held[1][0] <= at - 2 * SPAN_SECONDS:
            held.popleft()
        before = next((part for then, part in reversed(held) if then <= at - SPAN_SECONDS), None)
        if before is not None:
            square = (others - 2 * before + held[0][1]) ** 2
            weight = min(elapsed, SPAN_SECONDS) / min(_MEMORY_SECONDS, at - self._began_at)
            self._squares += weight * (square - self._squares)
            self._fourths += weight * (square**2 - self._fourths)
