"""When to stop a broken job: most of its first items fail, or too many of the last."""

import math
from collections import Counter, deque
from dataclasses import dataclass
from decimal import Decimal

CANARY_ITEMS = 20  # go ahead of the rest


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item failed: the outcome, and one line about it."""

    outcome: str
    detail: str


class Canary:
    """The first items of a launch: no more than these are begun before most of them succeeded.

    They are worth a launch's patience: a wrong prompt, column, schema or parameter shows in them
    for a few cents. More than half of them failing means stop; more than half succeeding means go
    on, so that no straggler holds up the rest.
    """

    def __init__(self, size: int = CANARY_ITEMS) -> None:
        self._size = size
        self._begun = 0
        self._succeeded = 0
        self._failures: list[Failure] = []
        self.has_passed = False

    @property
    def admits(self) -> bool:
        """Whether another item may begin."""
        return self.has_passed or self._begun < self._size

    @property
    def failures_to_stop(self) -> int:
        """How many more failures would stop the launch."""
        return self._size // 2 + 1 - len(self._failures)

    def begin(self) -> None:
        """An item begins."""
        self._begun += 1

    def succeeded(self) -> None:
        """An item succeeded."""
        self._succeeded += 1
        self.has_passed = 2 * self._succeeded >= self._size

    def failed(self, failure: Failure) -> str | None:
        """An item failed; returns why the launch should stop, None while it should not."""
        if self.has_passed:
            return None
        self._failures.append(failure)
        if self.failures_to_stop > 0:
            return None
        found = f"{len(self._failures)} of the first {self._size} items failed"
        return f"{found}, {_mostly(self._failures)}"


class FailureWatch:
    """`stop_if`: so many of the last settled items failed; never before `of_last` are settled."""

    def __init__(self, *, share: Decimal, of_last: int) -> None:
        self._size = of_last
        self._threshold = max(1, math.ceil(share * of_last))
        self._last: deque[Failure | None] = deque(maxlen=of_last)
        self._failed = 0

    @property
    def failures_to_stop(self) -> int:
        """How many more failures would stop the launch, at least."""
        return max(1, self._threshold - self._failed, self._size - len(self._last))

    def succeeded(self) -> None:
        """An item succeeded."""
        self._push(None)

    def failed(self, failure: Failure) -> str | None:
        """An item failed; returns why the launch should stop, None while it should not."""
        self._push(failure)
        if len(self._last) < self._size or self._failed < self._threshold:
            return None
        failures = [failure for failure in self._last if failure is not None]
        return f"{self._failed} of the last {self._size} items failed, {_mostly(failures)}"

    def _push(self, failure: Failure | None) -> None:
        if len(self._last) == self._size and self._last[0] is not None:
            self._failed -= 1
        self._last.append(failure)
        self._failed += failure is not None


def _mostly(failures: list[Failure]) -> str:
    """The most frequent outcome, with an example."""
    outcome, number = Counter(failure.outcome for failure in failures).most_common(1)[0]
    example = next(failure.detail for failure in failures if failure.outcome == outcome)
    words = f"{number} of them {outcome}"
    return f"{words}, such as: {example}" if example else words
