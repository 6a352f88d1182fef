"""API keys: where they are found, how they are kept out of every text, and where they lie about.

A key comes from the environment or from a `.env` file. Of a `.env` only names that say "key" are
taken, so that the file of a downloaded job redirects no request (`*_BASE_URL`, proxies).
"""

import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

ENVIRONMENT = "the environment"
MAX_DOTENV_BYTES = 64 * 1024
MIN_REDACTED_CHARS = 8  # a shorter value is a dummy such as `none`, and would tear holes in texts

_KEY_NAME = re.compile(r"(?i)(?:^|_)(?:api_?key|key|token|secret|passw(?:or)?d|credentials?)$")
_KEY_SHAPES = {
    "an Anthropic key": r"sk-ant-[A-Za-z0-9_-]{16,}",
    "an OpenAI key": r"sk-(?!ant-)[A-Za-z0-9_-]{16,}",
    "a Google key": r"AIza[0-9A-Za-z_-]{35}",
    "an AWS key": r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    "a GitHub token": r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "a Hugging Face token": r"hf_[A-Za-z0-9]{30,}",
    "a Slack token": r"xox[abeprs]-[A-Za-z0-9-]{10,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
# a prefix of word characters or a dash (`task-…`, `risk-…`) makes it an ordinary word
_KEY_SHAPE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    + "|".join(f"(?P<shape{index}>{shape})" for index, shape in enumerate(_KEY_SHAPES.values()))
    + ")"
)
_SHAPE_NAMES = {f"shape{index}": name for index, name in enumerate(_KEY_SHAPES)}


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that was found. `value` shows in no repr; `str()` tells name and place only."""

    name: str
    place: str
    value: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} from {self.place}"


def find_key(names: Sequence[str], folder: Path) -> Secret | None:
    """The key of the first name that has one, or None.

    The environment wins over `.env` in `folder`, and that over `.env` in the current directory, for
    every name; an empty value counts as none.
    """
    for place, values in _key_sources(folder):
        for name in names:
            if values.get(name):
                return Secret(name, place, values[name])
    return None


def known_keys(folder: Path) -> list[Secret]:
    """Every value that a key-like name has in the environment or in a `.env`: what to redact."""
    return [
        Secret(name, place, value)
        for place, values in _key_sources(folder)
        for name, value in values.items()
        if value and is_key_name(name)
    ]


def is_key_name(name: str) -> bool:
    """Whether a variable's name says that it holds a key, token or password."""
    return bool(_KEY_NAME.search(name))


def looks_like_key(text: str) -> bool:
    """Whether `text` holds something in the shape of a well-known service's key."""
    return bool(_KEY_SHAPE.search(text))


def read_dotenv(path: Path) -> dict[str, str]:
    """The key-like names of a `.env` file with their values; empty where none can be read."""
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_DOTENV_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return {}
    assignments = (_assignment(line) for line in text.splitlines())
    return {name: value for name, value in filter(None, assignments) if is_key_name(name)}


class Redactor:
    """Replaces known keys, and whatever has the shape of one, in any text."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        replacements: dict[str, str] = {}
        for secret in secrets:
            if len(secret.value) < MIN_REDACTED_CHARS:
                continue
            for form in (secret.value, quote(secret.value, safe="")):
                replacements.setdefault(form, f"[{secret.name}]")
        self._replacements = replacements
        # the longest first: one key may be the beginning of another
        forms = sorted(replacements, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, forms))) if forms else None

    def scrub(self, text: str) -> str:
        """`text` with each key replaced by the name of its variable in brackets."""
        if self._known is not None:
            text = self._known.sub(lambda match: self._replacements[match[0]], text)
        return _KEY_SHAPE.sub("[key]", text)


class RedactingFilter(logging.Filter):
    """Scrubs message, arguments, extras, traceback and stack of a record; add it to handlers.

    (A filter on a logger does not see the records of the loggers below it.)
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redactor.scrub(_message(record)), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        record.exc_info = None  # the text stands in for it: the exception may hold headers
        for name, value in list(vars(record).items()):
            if isinstance(value, str):
                setattr(record, name, self._redactor.scrub(value))
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # a bad format string must not silence the record
        return f"{record.msg} {record.args}"


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Something like a key in a file: never the key itself. `line` is 1-based."""

    path: Path
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: looks like {self.kind}"


@dataclass(frozen=True, slots=True)
class KeyScan:
    """What a scan found; `is_complete` is false where it stopped at its bounds."""

    places: tuple[KeyPlace, ...]
    is_complete: bool


SKIPPED_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".batchai",
        ".tox",
        ".mypy_cache",
    }
)


def scan_for_keys(
    folder: Path,
    *,
    max_files: int = 2_000,
    max_file_bytes: int = 1024 * 1024,
    max_total_bytes: int = 32 * 1024 * 1024,
) -> KeyScan:
    """Key-like strings in the text files below `folder`, symlinks not followed.

    `.env` itself is left out, for there they belong, and so are binary files. The bounds keep the
    time to about a second: files beyond them are not read, and of a larger file only the start.
    """
    places: list[KeyPlace] = []
    files, total = 0, 0
    for path in _text_candidates(folder):
        if files >= max_files or total >= max_total_bytes:
            return KeyScan(tuple(places), is_complete=False)
        raw = _start_of(path, max_file_bytes)
        files, total = files + 1, total + len(raw)
        if b"\0" not in raw[:1024]:
            places += _keys_in(path, raw.decode("utf-8", errors="replace"))
    return KeyScan(tuple(places), is_complete=True)


def _text_candidates(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = Path(parent, name)
            if name != ".env" and _is_ordinary(path):
                yield path


def _is_ordinary(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _start_of(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(max_bytes)
    except OSError:
        return b""


def _keys_in(path: Path, text: str) -> Iterator[KeyPlace]:
    for match in _KEY_SHAPE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield KeyPlace(path, line, _SHAPE_NAMES[str(match.lastgroup)])


def _key_sources(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield ENVIRONMENT, os.environ
    beside, here = folder / ".env", Path.cwd() / ".env"
    for path in dict.fromkeys((beside.absolute(), here)):
        yield str(path), read_dotenv(path)


_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


def _assignment(line: str) -> tuple[str, str] | None:
    match = _ASSIGNMENT.match(line)
    if match is None:
        return None
    name, value = match.groups()
    if value[:1] in ("'", '"'):
        inside, closing, _ = value[1:].partition(value[0])
        return (name, inside) if closing else None
    return name, re.split(r"(?:^|\s)#", value, maxsplit=1)[0].strip()
