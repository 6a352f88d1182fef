"""`batchai init`: a commented job file, made for the data that is there."""

import glob
import importlib.util
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

from batchai.errors import BatchaiError, RefusedError, SourceError, SpecError
from batchai.operations.check import check
from batchai.operations.git import is_ignored_by_git
from batchai.operations.starters import KEYED_MODELS, LOCAL_MODEL, TEMPLATES, Data, job_text
from batchai.providers import key_variables
from batchai.reports.words import counted
from batchai.secrets import Secret, find_key
from batchai.sources import DataSketch, inspect_data
from batchai.spec import load_job
from batchai.spec.document import printable
from batchai.spec.fields import JOB_NAME
from batchai.spec.finding import SUFFIXES
from batchai.spec.loading import shown_path
from batchai.spec.models import Model
from batchai.spec.project import PROJECT_FILE
from batchai.spec.sections import nearest

_OUTPUT_KINDS = {"json": ("jsonl", "json"), "jsonl": ("jsonl", "json"), "files": ("json", "jsonl")}
_TABLE_KINDS = ("csv", "jsonl")
_MOST_OUTPUTS = 1000


@dataclass(frozen=True, slots=True)
class InitResult:
    """The job file that was written, and what to tell the user: hints, then one line."""

    path: Path
    text: str


def init(
    name: str | None,
    data: Path | None,
    *,
    folder: Path,
    template: str | None = None,
    force: bool = False,
) -> InitResult:
    """Write `folder`/NAME.yaml for `data`: a file, folder or glob, from the current directory.

    name: default, the data's; it may begin with a folder below (`jobs/feedback`). A name that is a
    file of data stands for `data`. template: one of TEMPLATES, default `documents` for folders,
    else `classify`. Raises SpecError, SourceError (no usable data), RefusedError (the file is there
    and not `force`).
    """
    if data is None and name is not None and _is_data(Path(name)):
        data, name = Path(name), None
    path = _job_path(name or _name_of(data), folder)
    if path.exists() and not force:
        raise RefusedError(
            f"{shown_path(path)}: is there already; give another NAME, or --force to replace it"
        )
    found = _data(data, path)
    chosen = template or ("documents" if found.format == "files" else "classify")
    if chosen not in TEMPLATES:
        raise SpecError(f"--template {chosen}: {nearest(chosen, list(TEMPLATES))}")
    key = _key(path.parent)
    text = job_text(
        TEMPLATES[chosen],
        found,
        name=_typed(path),
        model=_model(key),
        output=_output(path, found),
    )
    _write(path, text, force=force)
    return InitResult(path, _report(path, found, key))


def _is_data(path: Path) -> bool:
    return path.suffix not in ("", *SUFFIXES) and path.is_file()


def _job_path(name: str, folder: Path) -> Path:
    asked = Path(name)
    stem = asked.stem if asked.suffix in SUFFIXES else asked.name
    if not re.fullmatch(JOB_NAME, stem) or f"{stem}.yaml" == PROJECT_FILE:
        why = "names the project file" if f"{stem}.yaml" == PROJECT_FILE else "is no job's name"
        raise SpecError(f"{name}: {why}; use letters, digits, space, . _ and -")
    if asked.is_absolute() or ".." in asked.parts:
        raise SpecError(f"{name}: must lie below this folder; go there first")
    return (folder / asked.parent).resolve() / f"{stem}.yaml"


def _name_of(data: Path | None) -> str:
    """A job's name after its data: `data/feedback.csv`, `data/feedback/*.csv` → feedback."""
    if data is None:
        raise SpecError("init needs a NAME or a data file, such as: batchai init data/feedback.csv")
    here = data.resolve() if data.is_dir() else data.absolute()
    while glob.has_magic(here.name) and not here.exists():
        here = here.parent
    stem = here.name if here.is_dir() else here.stem
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:100].strip("-.") or "job"
    return "job" if f"{name}.yaml" == PROJECT_FILE else name


def _data(data: Path | None, job: Path) -> Data:
    if data is None:
        example = f"{job.stem}.csv"
        return Data(example, "csv", ("text",), None, 0, None, "text")
    found = data.parent.resolve() / data.name if data.name not in ("", "..") else data.resolve()
    if found.is_dir() and found in (job.parent, *job.parents):
        raise SpecError(
            f"{data}: holds the job file itself, so results would be read as documents; keep them "
            f"in a folder of their own, or name them: {data}/*.txt"
        )
    sketch = inspect_data(str(found))
    if not sketch.rows:
        raise SourceError(f"{data}: has no row that can be used; batchai needs at least one")
    if not sketch.columns:
        raise SourceError(f"{data}: its rows have no columns; a prompt needs at least one")
    return _described(sketch, _relative(found, job.parent))


def _described(sketch: DataSketch, path: str) -> Data:
    return Data(
        path=path,
        format=sketch.format,
        columns=sketch.columns,
        rows=sketch.rows,
        bad_rows=sketch.bad_rows,
        key=sketch.key_candidate,
        text_column=sketch.text_column,
    )


def _relative(path: Path, folder: Path) -> str:
    """The path as a job file names it."""
    text = Path(os.path.relpath(path, folder)).as_posix()
    if any(mark in text for mark in ("{{", "{%", "${")):
        raise SpecError(f"{text}: a job file reads {{{{ and ${{ in a path as code; rename it")
    return f"./{text}" if text.startswith(("~", "-")) else text


def _key(folder: Path) -> Secret | None:
    names = [name for model in KEYED_MODELS for name in key_variables(Model(name=model))]
    return find_key(names, folder)


def _model(key: Secret | None) -> str:
    if key is None:
        return LOCAL_MODEL
    return next(model for model in KEYED_MODELS if key.name in key_variables(Model(name=model)))


def _output(job: Path, data: Data) -> str:
    """A file in `out/` that is not there yet and that the input does not match."""
    kinds = _OUTPUT_KINDS.get(data.format, _TABLE_KINDS)
    stems = [job.stem, *(f"{job.stem}-{number}" for number in range(2, _MOST_OUTPUTS))]
    for stem, folder, kind in product(stems, ("out", "results"), kinds):
        path = f"{folder}/{stem}.{kind}"
        is_read = fnmatch(path, data.path) or path.startswith(f"{data.path}/")
        if not is_read and not (job.parent / path).exists():
            return path
    raise SpecError(f"{job.parent / 'out'}: is full of results of {job.stem}; give another NAME")


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not force:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
            return
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except FileExistsError as error:
        raise RefusedError(f"{path}: is there already; give another NAME") from error
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be written ({error.strerror}); check the folder"
        ) from error


def _report(path: Path, data: Data, key: Secret | None) -> str:
    mistakes = _mistakes(path, has_data=data.rows is not None)
    parts = [f"Wrote {shown_path(path)}", *_facts(data)]
    parts.append(f"{key.name} found" if key else f"no key found, so {LOCAL_MODEL}")
    parts.append(
        f"next: batchai {'check' if mistakes or data.rows is None else 'try'} {_typed(path)}"
    )
    return "\n".join([*mistakes, *_hints(path, data, key), " · ".join(parts)])


def _facts(data: Data) -> list[str]:
    if data.rows is None:
        return [f"no data yet: put it at {data.path}, or change the path"]
    noun = "document" if data.format == "files" else "row"
    known = (
        f"key {printable(data.key)}"
        if data.key is not None
        else "no key column, so known by content"
    )
    return [f"{counted(data.rows, noun)}, {known}"]


def _mistakes(path: Path, *, has_data: bool) -> list[str]:
    """What `check` says of the written job, so that nothing is promised that does not hold."""
    try:
        job = load_job(path)
        return list(check(job)) if has_data else []
    except BatchaiError as error:
        return [str(error)]


def _hints(path: Path, data: Data, key: Secret | None) -> Iterator[str]:
    if data.bad_rows:
        yield f"{counted(data.bad_rows, 'row')} cannot be used: passed over (on_bad_row: skip)"
    if key is None and importlib.util.find_spec("xllamacpp") is None:
        yield f'{LOCAL_MODEL} needs: pip install "batchai[local]"'
    if is_ignored_by_git(path.parent / ".env") is False:
        yield "git does not ignore .env here, where keys are kept: echo .env >> .gitignore"


def _typed(path: Path) -> str:
    """JOB as it is typed in the current directory."""
    here = Path.cwd()
    is_found = path.parent in (here, here / "jobs")
    return shlex.quote(path.stem if is_found else shown_path(path))
