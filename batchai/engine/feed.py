"""The feed: the store is the queue. The scan puts items into it, the pool takes them out.

Pages of pending items are read in a thread by id; when the end is reached the feed begins again at
the start, since a scan may have made an item of before it pending, and leaves out what is in hand.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from batchai.store import Reader
from batchai.store.rows import PendingItem

_PAGE = 200


class Wakes(Protocol):
    """Who is told that there may be something new."""

    def set(self) -> None:
        """Tell."""


class Feed:
    """Hands out items that are pending in one of the steps, each once until it is given back.

    wake: set whenever there may be something new. only: ids to hand out, None for all.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        steps: Sequence[str],
        wake: Wakes,
        only: frozenset[int] | None = None,
    ) -> None:
        self._reader = reader
        self._steps = steps
        self._wake = wake
        self._only = only
        self._page: deque[PendingItem] = deque()
        self._after = 0
        self._in_hand: set[int] = set()
        self._given_back: set[int] = set()  # since the page that is being read was begun
        self._is_stale = True  # there may be more to read
        self._begins_again = False  # something may have become pending before `_after`
        self._is_growing = False
        self._reading: asyncio.Task[None] | None = None
        self._problem: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Every item that it handed out was given back, and there are no more."""
        return self.is_exhausted and not self._in_hand

    @property
    def is_exhausted(self) -> bool:
        """Nothing is left to hand out, and nothing will come."""
        return not (
            self._page
            or self._is_stale
            or self._is_growing
            or self._reading is not None
            or self._problem is not None
        )

    def grow(self, is_growing: bool) -> None:
        """A scan adds items (True), or has ended (False)."""
        self._is_growing = is_growing
        self.refresh()

    def refresh(self) -> None:
        """Items may have become pending."""
        self._is_stale = self._begins_again = True
        self._wake.set()

    def take(self) -> PendingItem | None:
        """The next item, None where there is none yet; `wake` says when to ask again.

        Raises what went wrong in reading: StoreError.
        """
        if self._problem is not None:
            raise self._problem
        while self._page:
            item = self._page.popleft()
            if item.item_id not in self._in_hand:
                self._in_hand.add(item.item_id)
                return item
        if self._is_stale and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return None

    def give_back(self, item_id: int) -> None:
        """The item is settled, durably."""
        self._in_hand.discard(item_id)
        self._wake.set()
        if self._reading is not None:  # the page may have been read before the item was settled
            self._given_back.add(item_id)

    async def close(self) -> None:
        """Wait for a page that is being read."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        self._is_stale = False
        try:
            found = await asyncio.to_thread(
                self._reader.pending, *self._steps, after=self._after, limit=_PAGE
            )
            if found:
                self._is_stale = True
                self._after = found[-1].item_id
            elif self._begins_again:
                self._is_stale, self._begins_again = True, False
                self._after = 0
            self._page.extend(item for item in found if self._wants(item))
        except Exception as error:  # noqa: BLE001 nobody awaits this task: the next `take` tells
            self._problem = error
        finally:
            self._reading = None
            self._given_back.clear()
            self._wake.set()

    def _wants(self, item: PendingItem) -> bool:
        known = item.item_id in self._in_hand or item.item_id in self._given_back
        return not known and (self._only is None or item.item_id in self._only)
