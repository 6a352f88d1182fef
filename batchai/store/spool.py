"""The spool: where answers wait that were paid for while the store could not be written.

A private file beside the store, one group a line; the next launch takes it in, each group once.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from batchai.errors import StoreError
from batchai.store.files import sync_folder
from batchai.store.groups import Group, Operations, execute, last_number
from batchai.store.migrations import VERSION
from batchai.store.values import from_json, to_json

_BYTES = "hex"  # {"hex": "00ff"} stands for bytes; no other value in a row is a map


class Spool:
    """The spool of one store; `store_id` tells it from that of a store which was deleted."""

    def __init__(self, path: Path, *, store_id: str) -> None:
        self.path = path
        self._store_id = store_id

    def add(self, group: Group) -> None:
        """Append a group, durably or not at all. Raises OSError."""
        # An attempt that is opened in a group which failed never left.
        operations = {k: rows for k, rows in group.operations.items() if k != "open_attempt"}
        line = {
            "store": self._store_id,
            "shape": VERSION,
            "group": group.number,
            "operations": {
                kind: [[_plain(value) for value in row] for row in rows]
                for kind, rows in operations.items()
            },
        }
        _append(self.path, to_json(line).encode() + b"\n")

    def take_in(self, engine: Engine) -> int:
        """Write what waits into the store and remove the file; returns the number of groups.

        Killed in between, it does the same again to the same effect. Raises StoreError.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")  # splitlines() would also cut at U+2028
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror})") from error
        groups = [group for line in lines if (group := self._group(line)) is not None]
        try:
            with engine.begin() as connection:
                last = last_number(connection)
                for group in groups:
                    if group.number > last:
                        execute(connection, group)
        except SQLAlchemyError as error:
            raise StoreError(
                f"{self.path}: holds answers that cannot be taken in "
                f"({getattr(error, 'orig', error)}); free space or mend the disk, or move it away "
                "to go on without them"
            ) from error
        self.path.unlink()
        return len(groups)

    def _group(self, line: bytes) -> Group | None:
        """The group in a line; None for one that a crash has cut."""
        try:
            entry = from_json(line.decode())
        except ValueError:
            return None
        if entry["store"] != self._store_id:
            raise StoreError(
                f"{self.path}: holds answers of another store, that was deleted or moved; put "
                "that store back, or move this file away to go on without them"
            )
        operations: Operations = {
            kind: [tuple(_revived(value) for value in row) for row in rows]
            for kind, rows in entry["operations"].items()
        }
        if entry.get("shape", 1) == 1:  # written by a version that knew no parts
            for kind in ("keep_step", "settle_step"):
                operations[kind] = [(*row, 0) for row in operations.get(kind, ())]
        return Group(entry["group"], operations).cleaned()


def _append(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)  # half a line would spoil the next
            raise
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def _plain(value: Any) -> Any:
    return {_BYTES: value.hex()} if isinstance(value, bytes) else value


def _revived(value: Any) -> Any:
    return bytes.fromhex(value[_BYTES]) if isinstance(value, dict) else value
