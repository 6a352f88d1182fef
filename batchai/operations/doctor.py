"""`batchai doctor`: what is found on this machine and in this folder, keys by name only."""

import importlib.util
import os
import platform
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from batchai import __version__
from batchai.clock import Clock
from batchai.errors import StoreError
from batchai.operations.doctor_jobs import job_findings
from batchai.operations.findings import Finding, Level
from batchai.operations.git import is_ignored_by_git
from batchai.providers import key_variables
from batchai.providers.local_weights import SMOLLM2_135M, user_cache
from batchai.reports.words import counted
from batchai.secrets import ENVIRONMENT, KeyPlace, Secret, find_key, known_keys, scan_for_keys
from batchai.spec.loading import shown_path
from batchai.spec.models import Model
from batchai.store.places import refuse_unsafe_folder, vanishes

_PROVIDERS = ("anthropic", "openai")
_EXTRAS = {
    "pyarrow": ("parquet", "Parquet files"),
    "openpyxl": ("xlsx", "Excel files"),
    "apprise": ("notify", "news of runs through other services"),
    "xllamacpp": ("local", "models on this machine"),
}
# What SDKs and other tools take from the environment, and batchai leaves alone.
_IGNORED_ADDRESSES = ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL")
_IGNORED = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "OPENAI_CUSTOM_HEADERS")
_IGNORED_PROXIES = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_USED_PROXIES = ("HTTPS_PROXY", "https_proxy")
_OLDEST_SQLITE = (3, 33, 0)  # UPDATE … FROM
_LOW_DISK_BYTES = 200 * 1024 * 1024
_SHOWN_FILES = 10
_ASKED_FILES = 50  # git is asked about each


def doctor(folder: Path, *, clock: Clock | None = None) -> list[Finding]:
    """Everything that is looked at, in the order in which it is shown.

    Nothing is sent and nothing stays written. Paths of jobs may lie in their folder and in the
    current directory, as for `run`.
    """
    folder = folder.resolve()
    today = (clock or Clock()).utcnow().date()
    return [
        *_machine(),
        *_extras(),
        _local_model(),
        *_keys(folder),
        *_environment(),
        *_folder(folder),
        *_env_files(folder),
        *_strays(folder),
        *job_findings(folder, today=today),
    ]


def _machine() -> Iterator[Finding]:
    versions = f"batchai {__version__}, Python {platform.python_version()}"
    yield Finding(Level.OK, "versions", f"{versions}, SQLite {sqlite3.sqlite_version}")
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        yield Finding(
            Level.PROBLEM,
            "SQLite",
            f"{sqlite3.sqlite_version} is too old for the store; use Python with {oldest} or newer",
        )


def _extras() -> Iterator[Finding]:
    for package, (extra, purpose) in _EXTRAS.items():
        if importlib.util.find_spec(package) is not None:
            yield Finding(Level.OK, package, f"is there, for {purpose}")
        else:
            remedy = f'pip install "batchai[{extra}]"'
            yield Finding(Level.NOTE, package, f"is not there; for {purpose}: {remedy}")


def _local_model() -> Finding:
    file = user_cache() / Path(SMOLLM2_135M.member).name
    size = f"{SMOLLM2_135M.size_bytes / 1e6:,.0f} MB"
    name = "local/smollm2-135m"
    try:
        found = file.stat().st_size
    except OSError:
        return Finding(Level.NOTE, name, f"is not downloaded; its first use fetches {size}")
    if found != SMOLLM2_135M.size_bytes:
        return Finding(Level.NOTE, name, f"{file} is not whole; its next use fetches {size} anew")
    return Finding(Level.OK, name, f"is downloaded: {file}")


def _keys(folder: Path) -> Iterator[Finding]:
    found = known_keys(folder)
    for provider in _PROVIDERS:
        names = key_variables(Model(name=f"{provider}/any"))
        key = find_key(names, folder)
        if key is None:
            text = f"no {' or '.join(names)} in the environment or in .env"
            yield Finding(Level.NOTE, provider, f"{text} here; only its models need one")
            continue
        yield Finding(Level.OK, provider, f"{key.name} from {_place(key)}")
        yield from _doubts(provider, key, found)


def _doubts(provider: str, key: Secret, found: list[Secret]) -> Iterator[Finding]:
    if not key.value.isascii() or not key.value.isprintable() or " " in key.value:
        problem = "holds a space, a line break or a letter that no key has"
        yield Finding(Level.PROBLEM, provider, f"{key.name} {problem}; set it again")
    for other in found:
        if other.name == key.name and other.value != key.value:
            text = f"{key.name} differs in {_place(other)}; the one from {_place(key)} is used"
            yield Finding(Level.WARNING, provider, text)


def _environment() -> Iterator[Finding]:
    """Names only: a proxy's address may hold a password."""
    for name in _IGNORED_ADDRESSES:
        if os.environ.get(name):
            remedy = "for another server say model.base_url in the job"
            yield Finding(Level.WARNING, name, f"is set, and batchai ignores it; {remedy}")
    for name in (*_IGNORED, *_IGNORED_PROXIES):
        if os.environ.get(name):
            hint = "; only HTTPS_PROXY is used" if name in _IGNORED_PROXIES else ""
            yield Finding(Level.NOTE, name, f"is set, and batchai ignores it{hint}")
    for name in _USED_PROXIES:
        if os.environ.get(name):
            yield Finding(Level.NOTE, name, "is set: requests to providers go through this proxy")


def _folder(folder: Path) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        text = f"{folder}: cannot be written ({error.strerror}); stores live beside the job files"
        yield Finding(Level.PROBLEM, "folder", text)
        return
    if free_bytes < _LOW_DISK_BYTES:
        yield Finding(Level.WARNING, "folder", f"{free_bytes / 1e6:,.0f} MB are free; make room")
    if (why := vanishes(folder)) is not None:
        yield Finding(Level.WARNING, "folder", why)
    try:
        refuse_unsafe_folder(folder)
    except StoreError as error:
        yield Finding(Level.PROBLEM, "folder", str(error))
    else:
        yield Finding(Level.OK, "folder", f"{folder}: can be written, fit for a store")


def _env_files(folder: Path) -> Iterator[Finding]:
    ours = folder / ".env"
    if not ours.exists() and is_ignored_by_git(ours) is False:
        text = "git would not ignore it; before you put keys there: echo .env >> .gitignore"
        yield Finding(Level.NOTE, ".env", text)
    for path in (ours, folder / "jobs" / ".env"):
        if path.is_file():
            yield from _env_file(path)


def _env_file(path: Path) -> Iterator[Finding]:
    name = shown_path(path)
    is_ignored = is_ignored_by_git(path)
    if is_ignored is False:
        text = "git does not ignore it; echo .env >> .gitignore, and if it was ever committed: "
        text += "git rm --cached, and new keys"
        yield Finding(Level.PROBLEM, name, text)
    mode = stat.S_IMODE(path.stat().st_mode)
    is_private = os.name != "posix" or not mode & 0o077
    if not is_private:
        yield Finding(Level.WARNING, name, f"others may read it (mode {mode:o}): chmod 600 {name}")
    if is_private and is_ignored is not False:
        yield Finding(Level.OK, name, "yours alone" + (", ignored by git" if is_ignored else ""))


def _strays(folder: Path) -> Iterator[Finding]:
    """Strings like keys in files, where a commit or a copy would give them away."""
    scan = scan_for_keys(folder)
    by_file: dict[Path, list[KeyPlace]] = {}
    for place in scan.places:
        by_file.setdefault(place.path, []).append(place)
    found = sorted(map(_stray, islice(by_file.values(), _ASKED_FILES)), key=_urgency)
    yield from found[:_SHOWN_FILES]
    rest = len(by_file) - _SHOWN_FILES
    if rest > 0:
        level = found[_SHOWN_FILES].level
        yield Finding(level, "keys in files", f"and in {counted(rest, 'more file')}")
    if not scan.is_complete:
        yield Finding(Level.NOTE, "keys in files", "the folder is large: not every file was read")
    elif not scan.places:
        yield Finding(Level.OK, "keys in files", "none found")


def _stray(places: Sequence[KeyPlace]) -> Finding:
    """What is to be said of one file with strings like keys."""
    first = places[0]
    more = f" (and {len(places) - 1} more there)" if len(places) > 1 else ""
    text = f"{shown_path(first.path)}:{first.line}: looks like {first.kind}{more}"
    match is_ignored_by_git(first.path):
        case True:
            return Finding(Level.NOTE, "keys in files", f"{text}; git ignores this file")
        case False:
            level = Level.PROBLEM
        case None:
            level = Level.WARNING
    remedy = "move it to .env or the environment; if others saw it, replace the key"
    return Finding(level, "keys in files", f"{text}; {remedy}")


def _urgency(finding: Finding) -> int:
    """The most urgent first."""
    return -list(Level).index(finding.level)


def _place(key: Secret) -> str:
    return key.place if key.place == ENVIRONMENT else shown_path(Path(key.place))
