"""From what a user types for JOB to the path of a job file."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batchai.errors import SpecError
from batchai.spec.document import Scalar, printable, read_document
from batchai.spec.project import PROJECT_FILE
from batchai.spec.sections import nearest

SUFFIXES = (".yaml", ".yml")
MAX_FILES = 500  # how many job files are looked into for their `name:`


def find_job(name_or_path: str | Path) -> Path:
    """The job file of a path, or of a job's name found here or in `jobs/`; raises SpecError.

    A file's stem is tried first, then the `name:` that files declare.
    """
    text = str(name_or_path)
    with suppress(OSError, ValueError):
        if Path(text).is_file():
            return Path(text)
    if text.endswith(SUFFIXES) or len(Path(text).parts) > 1:
        raise SpecError(f"{printable(text)}: is not there; {_known_jobs(text)}")
    files = list(job_files())
    found = [path for path in files if path.stem == text] or [
        path for path in files if _declared(path) == text
    ]
    if not found:
        raise SpecError(f"{printable(text)}: no such job here or in jobs/; {_known_jobs(text)}")
    if len(found) > 1:
        raise SpecError(f"{text}: is the name of {' and '.join(map(str, found))}: give the path")
    return found[0]


def job_files(base: Path = Path()) -> Iterator[Path]:
    """The YAML files of `base` and its `jobs/`, the project file left out, in order of names."""
    for folder in (base, base / "jobs"):
        with suppress(OSError):  # no such folder, or one that may not be looked into
            for path in sorted(folder.iterdir())[:MAX_FILES]:
                if path.suffix in SUFFIXES and path.name != PROJECT_FILE and path.is_file():
                    yield path


def _declared(path: Path) -> str | None:
    try:
        name = read_document(path, origin=str(path)).entries.get("name")
    except SpecError:
        return None
    return name.text if isinstance(name, Scalar) else None


def _known_jobs(text: str) -> str:
    stems = [path.stem for path in job_files()]
    return nearest(Path(text).stem, stems) if stems else "batchai init writes one"
