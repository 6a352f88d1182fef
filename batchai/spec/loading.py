"""`load_job`: from a path and the command line's overrides to a Job, or to every mistake in it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchai.errors import SpecError
from batchai.secrets import Redactor, looks_like_key
from batchai.spec.assembly import Draft, assemble, check_together
from batchai.spec.document import (
    KEY_REMEDY,
    MAX_PATH_CHARS,
    Listing,
    Node,
    Scalar,
    Table,
    printable,
    read_document,
)
from batchai.spec.fields import JOB, MODEL
from batchai.spec.inheriting import with_inherited
from batchai.spec.kinds import Reader
from batchai.spec.models import Job
from batchai.spec.overrides import NO_OVERRIDES, Overrides, with_overrides
from batchai.spec.project import PROJECT_FILE, Project, find_project, merged, read_project
from batchai.spec.scalars import json_value
from batchai.spec.sections import nearest

MAX_MISTAKE_CHARS = 2_000


def load_job(path: Path, *, overrides: Overrides = NO_OVERRIDES) -> Job:
    """The job in the YAML file `path`, with project defaults and overrides in it.

    Raises SpecError with the first mistake (`find_mistakes` tells all): place, problem, remedy.
    Nothing but the job, the project file and the files that they name is read; nothing is sent.
    """
    loaded = _load(path, overrides)
    if isinstance(loaded, Job):
        return loaded
    more = f" (and {len(loaded) - 1} more: batchai check --all)" if len(loaded) > 1 else ""
    raise SpecError(loaded[0] + more)


def find_mistakes(path: Path, *, overrides: Overrides = NO_OVERRIDES) -> list[str]:
    """Every mistake in the job file, one line each, in the file's order as far as they have one."""
    loaded = _load(path, overrides)
    return [] if isinstance(loaded, Job) else loaded


def shown_path(path: Path) -> str:
    """A path as messages name it: relative where it lies below the current directory."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps the `..`
    is_below = absolute.is_relative_to(Path.cwd())
    shown = absolute.relative_to(Path.cwd()) if is_below else path
    return printable(str(shown), limit=MAX_PATH_CHARS)


def _load(path: Path, overrides: Overrides) -> Job | list[str]:
    try:
        loaded = _read(path, overrides)
    except SpecError as error:
        loaded = [str(error)]
    return loaded if isinstance(loaded, Job) else [_told(mistake) for mistake in loaded]


def _told(mistake: str) -> str:
    """A mistake as one line without control characters, and without any key that a file held."""
    return Redactor(()).scrub(printable(mistake, limit=MAX_MISTAKE_CHARS))


def _read(path: Path, overrides: Overrides) -> Job | list[str]:
    job = _located(path)
    reader = Reader(_roots(job.parent, overrides), os.environ, {})
    table = read_document(job, origin=shown_path(path))
    project = _project(reader)
    if project.defaults is not None:
        table = merged(table, project.defaults, JOB)
    declared = table.entries.get("vars")
    table = with_inherited(with_overrides(table, overrides, job.parent), MODEL)
    reader.mistakes.extend(_literal_keys(table))
    reader = replace(reader, variables=_variables(table))
    draft = Draft(job, table, JOB.read(table, reader))
    check_together(draft, reader)
    reader.mistakes.extend(_unused_variables(overrides, declared, table, reader))
    if reader.mistakes:
        return reader.mistakes
    loaded = assemble(draft, project, reader.roots)
    return loaded.model_copy(
        update={"overridden": overrides.fields, "places": dict(_places(table))}
    )


def _located(path: Path) -> Path:
    """The absolute path, folders resolved: a job has one store however its file is named."""
    if path.name == PROJECT_FILE:
        raise SpecError(
            f"{shown_path(path)}: is a project file, not a job: give the job another name"
        )
    try:
        job = path.parent.resolve() / path.name
        is_file, is_folder = job.is_file(), job.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise SpecError(f"{shown_path(path)}: is no usable path: {error.args[-1]}") from error
    if not is_file:
        what = "a folder, not a job file" if is_folder else "not there: batchai init writes a job"
        raise SpecError(f"{shown_path(path)}: is {what}")
    return job


def _roots(folder: Path, overrides: Overrides) -> tuple[Path, ...]:
    for allowed in overrides.allow_paths:
        if not os.path.isdir(allowed):  # noqa: PTH112 - false, and no error, for impossible names
            raise SpecError(f"--allow-path {printable(str(allowed))}: is not a folder")
    return (Path.cwd().resolve(), folder, *(allowed.resolve() for allowed in overrides.allow_paths))


def _project(reader: Reader) -> Project:
    path = find_project(Path.cwd().resolve())
    return Project() if path is None else read_project(path, origin=shown_path(path), reader=reader)


def _variables(table: Table) -> dict[str, Any]:
    """The job's `vars`, read ahead of their uses; mistakes are told when JOB is read."""
    node = table.entries.get("vars")
    if not isinstance(node, Table):
        return {}
    values = {}
    for name, entry in node.entries.items():
        with suppress(SpecError):
            values[name] = json_value(entry)
    return values


def _places(node: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted field of every node, and the line on which it is written."""
    place = node.place
    yield path, f"{place.origin}:{place.line}" if place.line else place.origin
    match node:
        case Listing():
            for index, item in enumerate(node.items):
                yield from _places(item, f"{path}[{index}]")
        case Table():
            for name, entry in node.entries.items():
                yield from _places(entry, f"{path}.{name}" if path else name)


def _unused_variables(
    overrides: Overrides, declared: Node | None, table: Table, reader: Reader
) -> Iterator[str]:
    """Every `--var` that the job neither declares nor speaks of: a slip of the pen."""
    known = {*(declared.entries if isinstance(declared, Table) else ()), *reader.used}
    for name in [variable.partition("=")[0].strip() for variable in overrides.variables]:
        if name not in known and not any(name in text for text in _speaking_of_vars(table)):
            yield f"--var {name}: the job has no such variable; {nearest(name, sorted(known))}"


def _speaking_of_vars(node: Node) -> Iterator[str]:
    """Texts of the job file that take a variable, such as paths and schemas."""
    match node:
        case Scalar() if "vars" in node.text:
            yield node.text
        case Listing():
            for item in node.items:
                yield from _speaking_of_vars(item)
        case Table():
            for entry in node.entries.values():
                yield from _speaking_of_vars(entry)


def _literal_keys(node: Node) -> Iterator[str]:
    """Every place where a key itself is written; the key is never repeated."""
    match node:
        case Scalar() if looks_like_key(node.text):
            yield f"{node.place}: {KEY_REMEDY}"
        case Listing():
            for item in node.items:
                yield from _literal_keys(item)
        case Table():
            for entry in node.entries.values():
                yield from _literal_keys(entry)
