"""A store with a run, and a reader of its own as a scan has one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchai.store import Reader, Store
from tests.store.books import begin, open_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = open_store(tmp_path)
    begin(made)
    yield made
    await made.close()


@pytest.fixture
async def reader(store: Store) -> AsyncIterator[Reader]:
    made = Reader(store.path)
    yield made
    made.close()
