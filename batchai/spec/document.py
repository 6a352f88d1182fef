"""YAML text → a tree of nodes that know where they stand. Nothing is converted here.

Strict on purpose: no duplicate keys, anchors, aliases, merges, tags or second documents, at most
1 MiB and 50 levels. What a plain word means is decided by the field that reads it (`scalars.py`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from batchai.errors import SpecError
from batchai.secrets import looks_like_key

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_SHOWN_CHARS = 40
MAX_PATH_CHARS = 500
KEY_REMEDY = (
    "a key does not belong in a job file: put it in the environment or in .env beside the job, "
    "and name its variable in model.api_key_env"
)
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
_PARSER_TOO_DEEP = "exceeded maximum nesting depth"  # libyaml's own bound, far beyond ours
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Mark = Any  # the two parsers have marks of different types


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: `jobs/a.yaml:12: limits.concurrency` or `--set limits.concurrency`.

    base: the folder that relative paths written here start from. line: 1-based, 0 on the command
    line and for a file as a whole. path: dotted field path, below what `origin` itself names.
    """

    origin: str
    base: Path
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        origin = f"{self.origin}:{self.line}" if self.line else self.origin
        if not self.path:
            return origin
        return f"{origin}{self.path}" if self.path[0] in "[." else f"{origin}: {self.path}"

    def field(self, name: str, line: int = 0) -> "Place":
        """The place of an entry of the map that stands here."""
        path = f"{self.path}.{name}" if self.path else name
        return Place(self.origin, self.base, line or self.line, path)

    def element(self, index: int, line: int) -> "Place":
        """The place of an element of the list that stands here."""
        return Place(self.origin, self.base, line or self.line, f"{self.path}[{index}]")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A word, number or text, as written; `is_plain` when it stands without quotes."""

    place: Place
    text: str
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A YAML list."""

    place: Place
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A YAML map; keys are text exactly as written."""

    place: Place
    entries: Mapping[str, "Node"]


Node = Scalar | Listing | Table


def wrong(node: Node, problem: str) -> SpecError:
    """The error for a node, place first."""
    return SpecError(f"{node.place}: {problem}")


def shown(node: Node) -> str:
    """What the user wrote, cut short for a message; never anything that looks like a key."""
    match node:
        case Table():
            return "a map"
        case Listing():
            return "a list"
        case Scalar() if not node.text and node.is_plain:
            return "nothing"
    if looks_like_key(node.text):
        return "a secret"
    return f'"{printable(node.text)}"'


def printable(text: str, *, limit: int = MAX_SHOWN_CHARS) -> str:
    """Text of a file made safe for a one-line message on a terminal, cut at `limit` characters."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def read_document(path: Path, *, origin: str) -> Table:
    """The map that a YAML file holds; raises SpecError where it is no strict YAML map."""
    place = Place(origin, path.parent)
    node = parse_document(read_text(path, place=place), place=place)
    if isinstance(node, Table):
        return node
    raise SpecError(f"{origin}: must be a map of fields such as `model: …`, not {shown(node)}")


def read_text(path: Path, *, place: Place) -> str:
    """A UTF-8 file of at most 1 MiB, without its byte order mark; raises SpecError at `place`."""
    about = f"{place}: {path}" if place.path else f"{place}:"
    try:
        if not path.is_file():
            reason = "is a folder, not a file" if path.is_dir() else "is not there"
            raise SpecError(f"{about} {reason}")
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SpecError(f"{about} cannot be read: {error}") from error
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{about} is larger than 1 MiB: data belongs in the input")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{about} is not UTF-8 in line {line}: save it as UTF-8") from error


def parse_document(text: str, *, place: Place, has_lines: bool = True) -> Node:
    """The one YAML document in `text`; raises SpecError, with the line where `has_lines`."""
    builder = _Builder(place, has_lines=has_lines)
    try:
        return builder.build(text)
    except yaml.YAMLError as error:
        raise builder.syntax_error(error) from error
    except UnicodeEncodeError as error:
        raise SpecError(f"{place}: is not proper Unicode text") from error


class _Builder:
    """Builds the tree out of parser events, so that depth is checked before memory is spent."""

    def __init__(self, place: Place, *, has_lines: bool) -> None:
        self._root = place
        self._has_lines = has_lines

    def build(self, text: str) -> Node:
        if len(text.encode()) > MAX_BYTES:
            raise SpecError(f"{self._root}: is larger than 1 MiB")
        events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        node: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and node is not None:
                raise self._refused(event, "a second document (`---`) is not allowed")
            if isinstance(event, yaml.NodeEvent):
                node = self._node(event, events, self._root, depth=1)
        return Scalar(self._root, "", is_plain=True) if node is None else node

    def syntax_error(self, error: yaml.YAMLError) -> SpecError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = self._root if mark is None else self._at(mark)
        problem = (
            getattr(error, "problem", None) or getattr(error, "reason", None) or "syntax error"
        )
        if problem == _PARSER_TOO_DEEP:
            return SpecError(f"{place}: {_TOO_DEEP}")
        remedy = " (put quotes around a text that holds `: `, `#` or `{{`, and indent with spaces)"
        if problem.startswith("block sequence entries"):
            remedy = ' (put quotes around a dash: `path: "-"`)'
        return SpecError(f"{place}: is not YAML: {problem}{remedy}")

    def _node(
        self, event: yaml.Event, events: Iterator[yaml.Event], place: Place, depth: int
    ) -> Node:
        self._check(event, depth)
        match event:
            case yaml.ScalarEvent():
                return Scalar(place, event.value, is_plain=event.style in (None, ""))
            case yaml.SequenceStartEvent():
                return self._listing(events, place, depth)
            case _:
                return self._table(events, place, depth)

    def _listing(self, events: Iterator[yaml.Event], place: Place, depth: int) -> Listing:
        items: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            here = place.element(len(items), self._line(event.start_mark))
            items.append(self._node(event, events, here, depth + 1))
        return Listing(place, tuple(items))

    def _table(self, events: Iterator[yaml.Event], place: Place, depth: int) -> Table:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, place, depth + 1)
            here = place.field(printable(key), self._line(event.start_mark))
            if key in entries:
                before = entries[key].place.line
                raise SpecError(
                    f"{here}: is given twice (first in line {before}): keep one of them"
                )
            entries[key] = self._node(next(events), events, here, depth + 1)
        return Table(place, entries)

    def _key(self, event: yaml.Event, place: Place, depth: int) -> str:
        self._check(event, depth)
        if not isinstance(event, yaml.ScalarEvent):
            problem = (
                "a field name must be a word; put quotes around a text that begins with {{ or ["
            )
            raise self._refused(event, problem, place)
        if event.style in (None, "") and event.value in ("", "<<"):
            what = "merges (`<<`) are not allowed" if event.value else "a field name is missing"
            raise self._refused(event, what, place)
        if looks_like_key(event.value):
            raise self._refused(event, KEY_REMEDY, place)
        return str(event.value)

    def _check(self, event: yaml.Event, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._refused(event, _TOO_DEEP)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._refused(
                event, "anchors and aliases (& and *) are not allowed: quote or repeat"
            )
        if getattr(event, "tag", None):
            raise self._refused(event, "tags (!) are not allowed: put the text in quotes")

    def _refused(self, event: yaml.Event, problem: str, place: Place | None = None) -> SpecError:
        origin = self._at(event.start_mark)
        path = place.path if place is not None else ""
        return SpecError(f"{Place(origin.origin, origin.base, origin.line, path)}: {problem}")

    def _at(self, mark: "_Mark") -> Place:
        line = self._line(mark)
        return Place(self._root.origin, self._root.base, line, self._root.path)

    def _line(self, mark: "_Mark") -> int:
        return mark.line + 1 if self._has_lines and mark is not None else 0
