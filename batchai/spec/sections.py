"""Kinds of maps and lists in a job file, made of other kinds."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batchai.errors import SpecError
from batchai.spec.document import KEY_REMEDY, Listing, Node, Scalar, Table, printable, shown, wrong
from batchai.spec.kinds import JsonSchema, Kind, Reader


@dataclass(frozen=True, slots=True)
class Field:
    """One named field of a section."""

    kind: Kind
    about: str
    is_required: bool = False
    unless: str = ""  # this other field is given


@dataclass(frozen=True, slots=True)
class Section:
    """A map of known fields, read to a dict of those given.

    short: the field that a plain value stands for (`model: openai/x` is `model: {name: openai/x}`),
    and so does a map for which `is_short` holds.
    check: looks at what was read and raises SpecError where fields contradict each other.
    """

    fields: Mapping[str, Field]
    short: str = ""
    is_short: Callable[[Node], bool] = lambda node: isinstance(node, Scalar)
    check: Callable[[Table, Mapping[str, Any]], None] | None = None

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        table = self.table(node)
        values: dict[str, Any] = {}
        for name, entry in table.entries.items():
            with reader.noting():
                values[name] = self.known(name, entry).kind.read(entry, reader)
        for name, field in self.fields.items():
            is_missing = name not in table.entries and field.unless not in table.entries
            if field.is_required and is_missing:
                reader.mistakes.append(f"{table.place.field(name)}: is missing: {field.about}")
        if self.check is not None:
            with reader.noting():
                self.check(table, values)
        return values

    def table(self, node: Node) -> Table:
        """The map, also where the short form was written; raises SpecError."""
        if self.short and self.is_short(node):
            return Table(node.place, {self.short: node})
        if isinstance(node, Table):
            return node
        raise wrong(node, f"must be a map ({', '.join(self.fields)}), not {shown(node)}")

    def schema(self) -> JsonSchema:
        properties = {
            name: {"description": field.about} | field.kind.schema()
            for name, field in self.fields.items()
        }
        required = [
            name for name, field in self.fields.items() if field.is_required and not field.unless
        ]
        schema: JsonSchema = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        if required:
            schema["required"] = required
        return {"anyOf": [self.fields[self.short].kind.schema(), schema]} if self.short else schema

    def known(self, name: str, entry: Node) -> Field:
        """The field of this name; raises SpecError with the nearest name where there is none."""
        field = self.fields.get(name)
        if field is None:
            raise wrong(entry, self._unknown(name))
        return field

    def _unknown(self, name: str) -> str:
        if is_key_field(name):
            return KEY_REMEDY
        homes = [
            home
            for home, field in self.fields.items()
            if isinstance(field.kind, Section) and name in field.kind.fields
        ]
        if homes:
            return f"unknown field here: write it under `{homes[0]}:`"
        return f"unknown field; {nearest(name, self.fields)}"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one kind of value → tuple; where `lone`, one value may stand without brackets."""

    kind: Kind
    lone: bool = False

    def read(self, node: Node, reader: Reader) -> tuple[Any, ...]:
        if isinstance(node, Listing):
            values = []
            for item in node.items:
                with reader.noting():
                    values.append(self.kind.read(item, reader))
            return tuple(values)
        if self.lone:
            return (self.kind.read(node, reader),)
        raise wrong(node, f"must be a list, not {shown(node)}")

    def schema(self) -> JsonSchema:
        many = {"type": "array", "items": self.kind.schema()}
        return {"anyOf": [self.kind.schema(), many]} if self.lone else many


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of names of the user's own to one kind of value."""

    kind: Kind

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        if not isinstance(node, Table):
            raise wrong(node, f"must be a map, not {shown(node)}")
        values = {}
        for name, entry in node.entries.items():
            with reader.noting():
                values[name] = self.kind.read(entry, reader)
        return values

    def schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": self.kind.schema()}


@dataclass(frozen=True, slots=True)
class Or:
    """A certain word, which stands for `value`, or another kind."""

    word: str
    value: Any
    kind: Kind

    def read(self, node: Node, reader: Reader) -> Any:
        if isinstance(node, Scalar) and node.text == self.word:
            return self.value
        try:
            return self.kind.read(node, reader)
        except SpecError as error:
            if isinstance(node, Scalar):
                raise SpecError(f"{error} (or the word {self.word})") from error
            raise

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"const": self.word}, self.kind.schema()]}


_KEY_FIELD = re.compile(
    r"(?i)(?:.*[_-])?(?:api[_-]?key|password|secret|authorization)|(?:auth|access|bearer)[_-]?(?:token|key)|token"
)


def is_key_field(name: str) -> bool:
    """Whether a field of this name would hold a key (`prompt_cache_key` does not)."""
    return bool(_KEY_FIELD.fullmatch(name))


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean x?` where a known name is near, else the known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {printable(close[0])}?"
    return f"known here: {', '.join(map(printable, names))}" if names else "none is known here"
