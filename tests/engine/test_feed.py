"""The feed: each pending item once, however reading, settling and adding interleave."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.domain import State
from batchai.engine.feed import Feed
from batchai.store import Store
from batchai.store.ledger import StepEnd
from tests.store.books import STEP, add_items, begin, open_store
from tests.virtual import EPOCH


def a_feed(store: Store, only: frozenset[int] | None = None) -> Feed:
    return Feed(store.reader, steps=(STEP,), wake=asyncio.Event(), only=only)


async def take(feed: Feed) -> int | None:
    """The next item's id, after whatever is being read; None when there is none."""
    while (item := feed.take()) is None:
        if feed.is_exhausted:
            return None
        await feed.close()  # waits for the page
    return item.item_id


async def settle(store: Store, item_id: int) -> None:
    end = StepEnd(State.FAILED, b"", "rejected")
    await store.ledger.settle_unsent((item_id, STEP, 0), end, run_id=1, at=EPOCH)


async def test_every_pending_item_is_handed_out_once(store: Store) -> None:
    ids = await add_items(store, 450)
    feed = a_feed(store)

    taken = [await take(feed) for _ in range(451)]

    assert taken == [*ids, None]
    assert feed.is_exhausted


async def test_a_feed_that_grows_is_not_exhausted(store: Store) -> None:
    feed = a_feed(store)
    feed.grow(True)
    assert feed.take() is None
    await feed.close()
    assert not feed.is_exhausted

    (item,) = await add_items(store, 1)
    feed.grow(False)

    assert await take(feed) == item
    assert await take(feed) is None


async def test_items_that_become_pending_behind_are_found(store: Store) -> None:
    ids = await add_items(store, 300)
    for item in ids[:5]:
        await settle(store, item)
    feed = a_feed(store)
    for _ in ids[5:]:
        await take(feed)

    await store.ledger.absorb([("reset_step", (ids[2], STEP))])
    feed.refresh()

    assert await take(feed) == ids[2]
    assert await take(feed) is None


async def test_an_item_settled_while_its_page_is_read_is_not_handed_out_again(
    store: Store,
) -> None:
    (item,) = await add_items(store, 1)
    feed = a_feed(store)
    assert await take(feed) == item
    feed.refresh()
    assert feed.take() is None
    await feed.close()  # the end is reached: the next page begins at the start
    with store.reader.snapshot():
        store.reader.is_empty()  # the page will be of now
        await settle(store, item)
        assert feed.take() is None
        feed.give_back(item)
        await feed.close()

        assert await take(feed) is None


async def test_only_the_named_items_are_handed_out(store: Store) -> None:
    ids = await add_items(store, 450)
    feed = a_feed(store, only=frozenset({ids[3], ids[420], 10**6}))

    assert [await take(feed) for _ in range(3)] == [ids[3], ids[420], None]


async def test_pages_of_large_rows_are_short(store: Store) -> None:
    ids = await add_items(store, 6)
    row = '{"text":"' + "x" * 3_000_000 + '"}'
    await store.ledger.absorb([("place_item", (item, row, item)) for item in ids])

    pages, after = [], 0
    while page := store.reader.pending(STEP, after=after, limit=200):
        pages.append(len(page))
        after = page[-1].item_id

    assert pages == [3, 3]
    feed = a_feed(store)
    assert [await take(feed) for _ in ids] == ids


class Play:
    """A scan adds items and makes settled ones pending again, while a pool settles in any order."""

    def __init__(self, store: Store, feed: Feed, rng: random.Random, count: int) -> None:
        self.store, self.feed, self.rng, self.count = store, feed, rng, count
        self.turns = Counter[int]()  # how often an item was made pending
        self.handed = Counter[int]()
        self.in_hand: list[int] = []
        self.settled: list[int] = []
        self.grows = True
        feed.grow(True)

    async def run(self) -> None:
        while self.grows or not self.feed.is_exhausted:
            await self.rng.choice([self.add, self.reset, self.take, self.take, self.settle])()

    async def add(self) -> None:
        if not self.grows:
            return
        if len(self.turns) >= self.count:
            self.grows = False
            self.feed.grow(False)
            return
        self.turns.update(await add_items(self.store, self.rng.randint(1, 150)))
        self.feed.refresh()

    async def reset(self) -> None:
        if self.grows and self.settled:
            item = self.settled.pop(self.rng.randrange(len(self.settled)))
            self.turns[item] += 1
            await self.store.ledger.absorb([("reset_step", (item, STEP))])
            self.feed.refresh()

    async def take(self) -> None:
        for _ in range(100):
            if (found := self.feed.take()) is None:
                break
            self.handed[found.item_id] += 1
            self.in_hand.append(found.item_id)
        await asyncio.sleep(0)

    async def settle(self) -> None:
        self.rng.shuffle(self.in_hand)
        ready, self.in_hand = self.in_hand[:60], self.in_hand[60:]
        await asyncio.gather(*map(self.settle_one, ready))

    async def settle_one(self, item: int) -> None:
        await settle(self.store, item)
        self.feed.give_back(item)
        self.settled.append(item)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 500))
def test_whatever_interleaves_each_turn_of_an_item_is_handed_out_once(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    async def main() -> None:
        store = open_store(tmp_path_factory.mktemp("store"))
        begin(store)
        play = Play(store, a_feed(store), random.Random(seed), count)
        await play.run()
        await store.close()
        assert play.handed == play.turns

    asyncio.run(main())
