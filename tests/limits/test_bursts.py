"""How large the others' bursts are, from what they are seen to hold of a window."""

import random
from collections import deque
from collections.abc import Iterable

from batchai.limits.bursts import Bursts

SECONDS = 900
LATE = 60.0  # what they sent leaves the window


def watched(times: Iterable[float]) -> float:
    """The size that is told of a window's holding requests at these times, seen twice a second."""
    coming = deque(sorted(times))
    held = deque[float]()
    bursts = Bursts()
    for tick in range(2 * SECONDS):
        now = tick / 2
        while coming and coming[0] <= now:
            held.append(coming.popleft())
        while held and held[0] <= now - LATE:
            held.popleft()
        bursts.watch(len(held), now)
    return bursts.size


def batches(size: int, every: float) -> list[float]:
    """Batches of `size` at random times, each within a second."""
    rng = random.Random(1)
    starts = (rng.uniform(0, SECONDS) for _ in range(int(SECONDS / every)))
    return [start + rng.uniform(0, 1) for start in starts for _ in range(size)]


def test_a_burst_is_told_as_large_as_it_is_however_often_they_come() -> None:
    rare, frequent = watched(batches(40, every=100)), watched(batches(40, every=20))

    assert 35 <= rare <= 60  # some overlap
    assert 35 <= frequent <= 60


def test_requests_that_come_one_by_one_are_no_burst() -> None:
    rng = random.Random(1)
    one_by_one = [rng.uniform(0, SECONDS) for _ in range(5 * SECONDS)]

    assert watched(one_by_one) < 15  # of 300 that are held


def test_nothing_that_moves_is_nothing() -> None:
    assert watched([]) == 0
