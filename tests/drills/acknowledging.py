"""The command line, writing down what the ledger says is durable, as soon as it says so.

A program for a child process: `python -m tests.drills.acknowledging FILE WAY …`, with the arguments
of `batchai` after it. The way `sound` leaves batchai as it is; the two others break it on purpose,
so that a drill can prove that it would notice.
"""

import os
import sqlite3
import sys
from enum import StrEnum

from sqlalchemy import event
from sqlalchemy.pool import Pool

from batchai.cli import main
from batchai.domain import Attempt, Settlement
from batchai.store import store
from batchai.store.ledger import Ledger, StepEnd


class Way(StrEnum):
    """How batchai is run."""

    SOUND = "sound"
    NORMAL = "normal"  # synchronous=NORMAL: commits are not synced
    HASTY = "hasty"  # told to be durable before the commit


def acknowledging(descriptor: int, way: Way) -> type[Ledger]:
    """A ledger that writes a line for every attempt that is open, and for every one that ended."""

    is_hasty = way is Way.HASTY

    def say(*words: object) -> None:
        os.write(descriptor, " ".join(map(str, words)).encode() + b"\n")

    class Acknowledging(Ledger):
        async def open_attempt(self, attempt: Attempt) -> None:
            if is_hasty:
                say("open", attempt.id)
            await super().open_attempt(attempt)
            if not is_hasty:
                say("open", attempt.id)

        async def close_attempt(
            self, attempt: Attempt, settlement: Settlement, *, counts: bool, end: StepEnd | None
        ) -> None:
            if is_hasty:
                say("closed", attempt.id, attempt.item_id)
            await super().close_attempt(attempt, settlement, counts=counts, end=end)
            if not is_hasty:
                say("closed", attempt.id, attempt.item_id)

    return Acknowledging


def _sync_less() -> None:
    @event.listens_for(Pool, "checkout")  # after the pragmas of each new connection
    def _checked_out(connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
        connection.execute("PRAGMA synchronous=normal")


if __name__ == "__main__":
    file, way, *arguments = sys.argv[1:]
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if way == Way.NORMAL:
        _sync_less()
    setattr(store, "Ledger", acknowledging(descriptor, Way(way)))  # noqa: B010 as no code may
    sys.exit(main(arguments))
