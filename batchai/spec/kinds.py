"""Kinds of single values in a job file. Each reads a node and describes itself to editors.

`read` returns the value or raises SpecError with the place; `schema` is JSON Schema of what may be written.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from batchai.errors import SpecError
from batchai.spec.document import Node, Scalar, shown, wrong
from batchai.spec.models import Allowed
from batchai.spec.scalars import DECIMAL, WHOLE, json_value, scalar_value, text_value

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """What fields know while they are read; mistakes are collected, so that all are told at once.

    roots: resolved folders that paths must lie under. environ: for `${VAR}`. variables: the job's `vars`.
    """

    roots: tuple[Path, ...]
    environ: Mapping[str, str]
    variables: Mapping[str, Any]
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
    """Text, perhaps of a certain form; `what` says it in a message. `is_shown` false never echoes it."""

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
        value = _native(node)
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
            _is_plain(node, WHOLE)
            and isinstance(value := _native(node), int)
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
            _is_plain(node, DECIMAL)
            and self.minimum <= (value := float(_text(node))) <= self.maximum
        ):
            return value
        raise wrong(
            node, f"must be a number from {self.minimum:g} to {self.maximum:g}, not {_seen(node)}"
        )

    def schema(self) -> JsonSchema:
        return {"type": "number", "minimum": self.minimum, "maximum": self.maximum}


MAX_USD = Decimal(1_000_000_000)
MAX_USD_PLACES = 12  # the store counts pico-dollars


@dataclass(frozen=True, slots=True)
class Money:
    """US dollars, exact from the text of the file; zero only where `zero` says so."""

    zero: bool = False

    def read(self, node: Node, reader: Reader) -> Decimal:  # noqa: ARG002
        bound = "" if self.zero else " above 0"
        if not DECIMAL.fullmatch(_text(node)):
            raise wrong(node, f"must be an amount in USD{bound} such as 2.50, not {shown(node)}")
        amount = Decimal(_text(node))
        if amount < 0 or amount > MAX_USD or (amount == 0 and not self.zero):
            raise wrong(node, f"must be an amount in USD{bound} such as 2.50, not {shown(node)}")
        if len(_text(node).partition(".")[2]) > MAX_USD_PLACES:
            raise wrong(node, f"must have at most {MAX_USD_PLACES} decimal places")
        return amount

    def schema(self) -> JsonSchema:
        return {"type": ["number", "string"], "minimum": 0}


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


_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%")


@dataclass(frozen=True, slots=True)
class Share:
    """`50%` → Decimal("0.5"); above 0."""

    def read(self, node: Node, reader: Reader) -> Decimal:  # noqa: ARG002
        share = _share(node)
        if not share:
            raise wrong(
                node, f"must be a share such as 50%, above 0% and up to 100%, not {shown(node)}"
            )
        return share

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"^[0-9.]+\s?%$"}


@dataclass(frozen=True, slots=True)
class ShareOrNumber:
    """`5%` or `10` items."""

    def read(self, node: Node, reader: Reader) -> Allowed:  # noqa: ARG002
        share = _share(node)
        if share is not None:
            return Allowed(number=None, share=share)
        if (
            _is_plain(node, WHOLE)
            and isinstance(value := _native(node), int)
            and 0 <= value < 2**63
        ):
            return Allowed(number=value)
        raise wrong(
            node, f"must be a number of items such as 10, or a share such as 5%, not {shown(node)}"
        )

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "integer", "minimum": 0}, Share().schema()]}


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?[smhd])+")


@dataclass(frozen=True, slots=True)
class Duration:
    """`90s`, `1h`, `1h30m` → seconds."""

    def read(self, node: Node, reader: Reader) -> float:  # noqa: ARG002
        text = _text(node)
        if not _DURATION.fullmatch(text):
            unit = f": write {text}s for seconds" if WHOLE.fullmatch(text) else ""
            raise wrong(node, f"must be a time such as 90s, 15m, 1h or 2d, not {shown(node)}{unit}")
        return sum(
            float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([smhd])", text)
        )

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{_DURATION.pattern}$"}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""

    def read(self, node: Node, reader: Reader) -> Any:  # noqa: ARG002
        return json_value(node)

    def schema(self) -> JsonSchema:
        return {}


@dataclass(frozen=True, slots=True)
class NotYet:
    """A field that a later version takes; `taken` are the words that are fine already."""

    taken: tuple[str, ...] = ()

    def read(self, node: Node, reader: Reader) -> str:  # noqa: ARG002
        if _text(node) in self.taken:
            return _text(node)
        instead = f": only {_either(self.taken)} is" if self.taken else ": leave the field out"
        raise wrong(node, f"is not available yet{instead}")

    def schema(self) -> JsonSchema:
        return {"enum": list(self.taken)} if self.taken else {"not": {}}


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _is_plain(node: Node, form: re.Pattern[str]) -> bool:
    return isinstance(node, Scalar) and node.is_plain and bool(form.fullmatch(node.text))


def _native(node: Node) -> object:
    """The value of a scalar; None for maps and lists, and for words that YAML would surprise with."""
    if not isinstance(node, Scalar):
        return None
    try:
        return scalar_value(node)
    except SpecError:
        return None


def _seen(node: Node) -> str:
    """What was written, for a number field: quotes around a number are the mistake itself."""
    if isinstance(node, Scalar) and not node.is_plain and DECIMAL.fullmatch(node.text):
        return f"text: write {node.text} without quotes"
    return shown(node)


def _share(node: Node) -> Decimal | None:
    match = _SHARE.fullmatch(_text(node))
    share = Decimal(match[1]) / 100 if match else None
    return share if share is not None and share <= 1 else None
