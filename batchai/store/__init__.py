"""The checkpoint store of one job: tables, the one writer, queries, lock and migrations."""

from batchai.store.ledger import Ledger
from batchai.store.queries import Reader
from batchai.store.store import Store, open_reader

__all__ = ["Ledger", "Reader", "Store", "open_reader"]
