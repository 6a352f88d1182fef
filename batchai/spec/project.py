"""The project file `batchai.yaml`: defaults of jobs, and limits of provider accounts."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batchai.errors import SpecError
from batchai.spec.document import Node, Table, read_document
from batchai.spec.fields import DEFAULTS, PROJECT
from batchai.spec.kinds import Kind, Reader
from batchai.spec.models import Limits, Notify
from batchai.spec.overrides import kept_for_model
from batchai.spec.sections import MapOf, Section

PROJECT_FILE = "batchai.yaml"


@dataclass(frozen=True, slots=True)
class Project:
    """What the project file says. defaults: unread, for they merge with a job's own fields."""

    defaults: Table | None = None
    accounts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notify: Notify | None = None


def find_project(folder: Path) -> Path | None:
    """The project file in `folder` or the nearest folder above that has one.

    One above is passed over where it belongs to somebody else: anybody may write to `/tmp`.
    """
    for parent in (folder, *folder.parents):
        path = parent / PROJECT_FILE
        with suppress(OSError):  # a folder above that may not be looked into
            if path.is_file() and (parent == folder or _is_ours(path, folder)):
                return path
    return None


def read_project(path: Path, *, origin: str, reader: Reader) -> Project:
    """The project file; mistakes are noted in `reader`, those in defaults when they are merged."""
    table = read_document(path, origin=origin)
    own = {name: entry for name, entry in table.entries.items() if name != "defaults"}
    values = PROJECT.read(Table(table.place, own), reader)
    project = Project(
        accounts=values.get("accounts", {}),
        prices=values.get("prices", {}),
        notify=_notify(path, values),
    )
    defaults = table.entries.get("defaults")
    if defaults is None:
        return project
    defaults = DEFAULTS.table(defaults)
    for name, entry in defaults.entries.items():
        with reader.noting():
            DEFAULTS.known(name, entry)
    return replace(project, defaults=defaults)


def notify_of(folder: Path) -> Notify | None:
    """Who is told of runs in this folder, None where no project file says so. Raises SpecError."""
    path = find_project(folder.resolve())
    if path is None:
        return None
    table = read_document(path, origin=path.name)
    entries = {name: entry for name, entry in table.entries.items() if name == "notify"}
    reader = Reader((), {}, {})
    values = PROJECT.read(Table(table.place, entries), reader)
    if reader.mistakes:
        raise SpecError(reader.mistakes[0])
    return _notify(path, values)


def _notify(path: Path, values: Mapping[str, Any]) -> Notify | None:
    return Notify(origin=path, **values["notify"]) if "notify" in values else None


def merged(job: Table, defaults: Table, kind: Kind) -> Table:
    """`job` with what only `defaults` gives; sections and `vars` merge, all else is replaced."""
    entries: dict[str, Node] = dict(defaults.entries)
    for name, own in job.entries.items():
        given = defaults.entries.get(name)
        inner = (
            kind.fields[name].kind if isinstance(kind, Section) and name in kind.fields else None
        )
        entries[name] = own if given is None else _merged_entry(name, own, given, inner)
    return Table(job.place, entries)


def _merged_entry(name: str, own: Node, given: Node, kind: Kind | None) -> Node:
    if isinstance(kind, Section) and kind.short:
        own, given = (kind.table(node) if kind.is_short(node) else node for node in (own, given))
    if (
        not isinstance(kind, Section | MapOf)
        or not isinstance(own, Table)
        or not isinstance(given, Table)
    ):
        return own
    if name == "model" and "name" in own.entries:
        given = kept_for_model(given, own.entries["name"])
    if name == "input" and own.entries.keys() & {"path", "sql"}:
        others = {
            field: node for field, node in given.entries.items() if field not in ("path", "sql")
        }
        given = Table(given.place, others)
    return merged(own, given, kind)


def smaller(limits: Limits, account: Mapping[str, Any]) -> Limits:
    """The job's limits, each lowered to a smaller one of the account, which also bounds `auto`."""
    changes = {}
    for name, bound in account.items():
        own = getattr(limits, name)
        changes[name] = min(own, bound) if isinstance(own, int) else bound
    return limits.model_copy(update=changes)


def _is_ours(path: Path, folder: Path) -> bool:
    if not hasattr(os, "getuid"):
        return True
    return path.stat().st_uid in (0, os.getuid(), folder.stat().st_uid)
