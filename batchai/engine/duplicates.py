"""`dedupe`: of items that make equal requests one asks, and the others take its result.

An equal item waits while the first is asked; then it takes what the store has of that one, or asks
in its turn: also after a kill in between, and in a later run. Only steps that are one request for
an item take part; elements of `foreach` and turns of conversations are each asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from batchai.domain import Outcome
from batchai.engine.worker import Work
from batchai.prompts import FINGERPRINT_BYTES
from batchai.store import Reader
from batchai.store.twins import Twin, find_twin

# What says something about the request, so that an equal one would fare no better in this run.
_OF_THE_REQUEST = (
    Outcome.REFUSED,
    Outcome.TRUNCATED,
    Outcome.EMPTY,
    Outcome.INVALID,
    Outcome.REJECTED,
    Outcome.OVER_LIMIT,
)


class Duplicates:
    """Which requests of a step are being asked in a launch, and who waits for them.

    waiting: how many wait, for an answer or for their copy to be durable.
    """

    def __init__(self, reader: Reader, *, step: str, run_id: int) -> None:
        self._reader = reader
        self._step = step
        self._run_id = run_id
        self._asked: dict[bytes, list[Work]] = {}  # who waits, by request
        self.waiting = 0

    def waits(self, work: Work) -> bool:
        """Whether an equal request is being asked, so that this now waits for its end."""
        waiting = self._asked.get(_request(work))
        if waiting is None:
            return False
        waiting.append(work)
        self.waiting += 1
        return True

    def twin(self, work: Work) -> Twin | None:
        """A settled item of an equal request; without one, this is the first to ask."""
        request = _request(work)
        found = find_twin(
            self._reader,
            self._step,
            request,
            failed_in_run=self._run_id,
            failed_as=_OF_THE_REQUEST,
        )
        if found is None:
            self._asked[request] = []
        return found

    @contextmanager
    def copying(self) -> Iterator[None]:
        """While a twin's end is being recorded for another item."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def settled(self, fingerprint: bytes) -> list[Work]:
        """What waited for this one's end, durable now."""
        waiting = self._asked.pop(fingerprint[:FINGERPRINT_BYTES], [])
        self.waiting -= len(waiting)
        return waiting


def _request(work: Work) -> bytes:
    return work.fingerprint[:FINGERPRINT_BYTES]
