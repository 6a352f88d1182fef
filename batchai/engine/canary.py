"""When to stop a broken job: most of its first items fail, or too many of the last."""

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

    @property
    def admits(self) -> bool:
        """Whether another item may begin."""
        return self._begun < self._size or self._has_passed

    def begin(self) -> None:
        """An item begins."""
        self._begun += 1

    def succeeded(self) -> None:
        """An item succeeded."""
        self._succeeded += 1

    def failed(self, failure: Failure) -> str | None:
        """An item failed; returns why the launch should stop, None while it should not."""
        if self._has_passed:
            return None
        self._failures.append(failure)
        if 2 * len(self._failures) <= self._size:
            return None
        found = f"{len(self._failures)} of the first {self._size} items failed"
        return f"{found}, {_mostly(self._failures)}"

    @property
    def _has_passed(self) -> bool:
        return 2 * self._succeeded >= self._size


class FailureWatch:
    """`stop_if`: so many of the last settled items failed; never before `of_last` are settled."""

    def __init__(self, *, share: Decimal, of_last: int) -> None:
        self._share = share
        self._last: deque[Failure | None] = deque(maxlen=of_last)
        self._failed = 0

    def succeeded(self) -> None:
        """An item succeeded."""
        self._push(None)

    def failed(self, failure: Failure) -> str | None:
        """An item failed; returns why the launch should stop, None while it should not."""
        self._push(failure)
        size = self._last.maxlen or 0
        if len(self._last) < size or self._failed < self._share * size:
            return None
        failures = [failure for failure in self._last if failure is not None]
        return f"{self._failed} of the last {size} items failed, {_mostly(failures)}"

    def _push(self, failure: Failure | None) -> None:
        if len(self._last) == self._last.maxlen and self._last[0] is not None:
            self._failed -= 1
        self._last.append(failure)
        self._failed += failure is not None


def _mostly(failures: list[Failure]) -> str:
    """The most frequent outcome, with an example."""
    outcome, number = Counter(failure.outcome for failure in failures).most_common(1)[0]
    example = next(failure.detail for failure in failures if failure.outcome == outcome)
    words = f"{number} of them {outcome}"
    return f"{words}, such as: {example}" if example else words
