"""Kinds of single values in a job file. Each reads a node and describes itself to editors.

`read` returns the value or raises SpecError with the place; `schema` says what may be written.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from batchai.errors import SpecError
from batchai.spec.document import Node, Scalar, shown, wrong
from batchai.spec.scalars import DECIMAL, WHOLE, is_plain, json_value, native, text_value, written

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """What fields know while they are read; mistakes are collected, so that all are told at once.

    roots: resolved folders that paths must lie under. environ: for `${VAR}`. variables: `vars`.
    steps: those that come before, with the fields of their results (None: not known).
    roots_of_texts: what templates and expressions may speak of. used: names of `vars` that they do
    speak of.
    """

    roots: tuple[Path, ...]
    environ: Mapping[str, str]
    variables: Mapping[str, Any]
    steps: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    roots_of_texts: frozenset[str] = frozenset({"item", "vars", "steps"})
    used: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Collects a SpecError of the block, so that reading goes on with the next field."""
        try:
            yield
        except SpecError as error:
            self.mistakes.append(str(error))


class Kind(Protocol):
    """How a field is read and described."""

    def read(self, node: Node, reader: Reader) -> Any:
        """The value; raises SpecError, or notes several mistakes in `reader`."""
        ...

    def schema(self) -> JsonSchema:
        """What may be written here, for editors."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """Text, perhaps of a form that `what` describes; without `is_shown` it is never echoed."""

    what: str = "text"
    pattern: str = ""
    is_shown: bool = True

    def read(self, node: Node, reader: Reader) -> str:  # noqa: ARG002 - the signature of every kind
        text = text_value(node, self.what)
        if not text.strip():
            raise wrong(node, f"must be {self.what}, not empty")
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise wrong(
                node, f"must be {self.what}" + (f", not {shown(node)}" if self.is_shown else "")
            )
        return text

    def schema(self) -> JsonSchema:
        return (
            {"type": "string", "pattern": f"^(?:{self.pattern})$"}
            if self.pattern
            else {"type": "string"}
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: Node, reader: Reader) -> str:  # noqa: ARG002
        text = node.text if isinstance(node, Scalar) else ""
        if text not in self.words:
            raise wrong(node, f"must be {_either(self.words)}, not {shown(node)}")
        return text

    def schema(self) -> JsonSchema:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, node: Node, reader: Reader) -> bool:  # noqa: ARG002
        value = native(node)
        if not isinstance(value, bool):
            raise wrong(node, f"must be true or false, not {shown(node)}")
        return value

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number of at least `minimum`."""

    minimum: int = 1

    def read(self, node: Node, reader: Reader) -> int:  # noqa: ARG002
        if (
            is_plain(node, WHOLE)
            and isinstance(value := native(node), int)
            and self.minimum <= value < 2**63
        ):
            return value
        bound = "above 0" if self.minimum == 1 else f"of at least {self.minimum}"
        raise wrong(node, f"must be a whole number {bound}, not {_seen(node)}")

    def schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.minimum}


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number within bounds, both included."""

    minimum: float
    maximum: float

    def read(self, node: Node, reader: Reader) -> float:  # noqa: ARG002
        if (
            is_plain(node, DECIMAL)
            and self.minimum <= (value := float(written(node))) <= self.maximum
        ):
            return value
        raise wrong(
            node, f"must be a number from {self.minimum:g} to {self.maximum:g}, not {_seen(node)}"
        )

    def schema(self) -> JsonSchema:
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Encoding:
    """The name of a text encoding that Python knows."""

    def read(self, node: Node, reader: Reader) -> str:  # noqa: ARG002
        name = text_value(node, "a text encoding")
        try:
            "".encode(name)
        except (LookupError, ValueError) as error:
            raise wrong(node, "must be a text encoding such as utf-8, latin-1 or cp1252") from error
        return name

    def schema(self) -> JsonSchema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""

    def read(self, node: Node, reader: Reader) -> Any:  # noqa: ARG002
        return json_value(node)

    def schema(self) -> JsonSchema:
        return {}


@dataclass(frozen=True, slots=True)
class Version:
    """`version: 1`, the only one so far."""

    def read(self, node: Node, reader: Reader) -> int:  # noqa: ARG002
        if not is_plain(node, WHOLE) or written(node) != "1":
            raise wrong(node, f"must be 1, not {shown(node)}: this batchai reads version 1")
        return 1

    def schema(self) -> JsonSchema:
        return {"const": 1}


@dataclass(frozen=True, slots=True)
class NotYet:
    """A field that a later version takes; `taken` are the words that are fine already."""

    taken: tuple[str, ...] = ()

    def read(self, node: Node, reader: Reader) -> str:  # noqa: ARG002
        if written(node) in self.taken:
            return written(node)
        instead = f": only {_either(self.taken)} is" if self.taken else ": leave the field out"
        raise wrong(node, f"is not available yet{instead}")

    def schema(self) -> JsonSchema:
        return {"enum": list(self.taken)} if self.taken else {"not": {}}


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _seen(node: Node) -> str:
    """What was written, for a number field: quotes around a number are the mistake itself."""
    if isinstance(node, Scalar) and not node.is_plain and DECIMAL.fullmatch(node.text):
        return f"text: write {node.text} without quotes"
    return shown(node)
