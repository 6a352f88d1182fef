"""Schema shorthand → JSON Schema: `mood: [good, bad]`, `tags: list of string`, `note?: string`."""

import json
import re
from dataclasses import dataclass
from typing import Any

from batchai.errors import SpecError
from batchai.spec.document import (
    Listing,
    Node,
    Scalar,
    Table,
    parse_document,
    read_text,
    shown,
    wrong,
)
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.paths import FilePath, with_vars
from batchai.spec.scalars import json_value, scalar_value, text_value
from batchai.spec.schema_rules import check_json_schema, check_keywords
from batchai.spec.sections import nearest
from batchai.spec.texts import file_schema, is_file_reference

WORDS = ("string", "integer", "number", "boolean")
_TYPES = (*WORDS, "object", "array", "null")
_SYNONYMS = {
    "str": "string", "text": "string", "varchar": "string", "int": "integer", "float": "number",
    "decimal": "number", "bool": "boolean", "list": "list of string", "array": "list of string",
    "date": "{type: string, format: date}", "any": "string", "enum": "a list such as [a, b]",
}  # fmt: skip
_LIST_OF = re.compile(r"list of\s+(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SchemaKind:
    """The `schema:` field → complete JSON Schema; field order is kept."""

    def read(self, node: Node, reader: Reader) -> JsonSchema:
        mistakes = len(reader.mistakes)
        schema = self._expanded(node, reader)
        if len(reader.mistakes) == mistakes:
            check_json_schema(schema, str(node.place))
        return schema

    def schema(self) -> JsonSchema:
        return {"$ref": "#/$defs/resultFields"}

    def _expanded(self, node: Node, reader: Reader) -> JsonSchema:
        if not isinstance(node, Table):
            remedy = (
                "write `schema: {label: …}`" if isinstance(node, Listing) else "name the fields"
            )
            raise wrong(node, f"must be a map of result fields, not {shown(node)}: {remedy}")
        if _is_schema_file(node):
            return _from_file(node, reader)
        if _is_full_object(node):
            return _as_it_is(node, reader)
        return _object(node, reader)


def editor_definitions() -> JsonSchema:
    """`$defs` of the shorthand for the editor schema."""
    shorthand: JsonSchema = {"$ref": "#/$defs/shorthand"}
    return {
        "resultFields": {
            "type": "object",
            "minProperties": 1,
            "anyOf": [
                file_schema(),
                {"properties": {"type": {"const": "object"}}, "required": ["type", "properties"]},
                {"additionalProperties": shorthand},
            ],
        },
        "shorthand": {
            "anyOf": [
                {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
                {"enum": list(WORDS)},
                {"type": "string", "pattern": r"^list of\s|\{\{"},
                {"type": "object", "minProperties": 1},
            ]
        },
    }


def _object(table: Table, reader: Reader) -> JsonSchema:
    if not table.entries:
        raise wrong(table, "must name at least one result field")
    properties: dict[str, Any] = {}
    required: list[str] = []
    for written, entry in table.entries.items():
        name = written.removesuffix("?").strip()
        with reader.noting():
            if not name or name in properties:
                raise wrong(entry, "is given twice, with and without ?" if name else "needs a name")
            properties[name] = _field(entry, reader)
            if not written.endswith("?"):
                required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _field(node: Node, reader: Reader) -> JsonSchema:
    match node:
        case Listing():
            return _enum(node, reader)
        case Scalar():
            return _word(node, reader)
        case Table() if _is_schema_file(node):
            return _from_file(node, reader)
        case Table() if _is_json_schema(node):
            return _as_it_is(node, reader)
        case Table():
            return _object(node, reader)


def _enum(node: Listing, reader: Reader) -> JsonSchema:
    values = [_enum_value(item, reader) for item in node.items]
    if not values:
        raise wrong(node, "must list at least one value")
    if len({str(value) for value in values}) < len(values):
        raise wrong(node, "lists a value twice")
    if all(isinstance(value, str) for value in values):
        return {"type": "string", "enum": values}
    if all(isinstance(value, int) for value in values):
        return {"type": "integer", "enum": values}
    raise wrong(node, "mixes numbers and text: put quotes around the numbers")


def _enum_value(node: Node, reader: Reader) -> str | int:
    if not isinstance(node, Scalar):
        raise wrong(
            node, f"must be a word, not {shown(node)}: write an object as {{type: object, …}}"
        )
    value = scalar_value(node)
    if isinstance(value, str):
        return with_vars(node, value, reader.variables)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, bool):
        remedy = f'write "{node.text}", or boolean as the type'
        raise wrong(node, f"YAML reads an unquoted {node.text} as a boolean: {remedy}")
    raise wrong(node, f'must be text or a whole number: write "{node.text or "null"}" for the text')


def _word(node: Scalar, reader: Reader) -> JsonSchema:
    text = with_vars(node, text_value(node, "a type"), reader.variables).strip()
    if text in WORDS:
        return {"type": text}
    match = _LIST_OF.fullmatch(text)
    if match:
        inner = parse_document(match[1], place=node.place, has_lines=False)
        return {"type": "array", "items": _field(inner, reader)}
    if text in _SYNONYMS:
        raise wrong(node, f"{text} is no type here: write {_SYNONYMS[text]}")
    if " " in text and not text.startswith("list"):
        raise wrong(
            node, "is no type: a description stands beside one, as {type: string, description: …}"
        )
    raise wrong(node, f"{shown(node)} is no type; {nearest(text, (*WORDS, 'list of string'))}")


def _is_json_schema(table: Table) -> bool:
    """A map with `type`, `enum`, `anyOf` … whose value is what JSON Schema has there.

    (`{type: [bug, wish], title: string}` is a nested object with a result field called type.)
    """
    entries = table.entries
    if "const" in entries or "$ref" in entries:
        return True
    if any(isinstance(entries.get(name), Listing) for name in ("enum", "anyOf", "oneOf", "allOf")):
        return True
    match entries.get("type"):
        case Scalar():
            return True
        case Listing(items=items):
            return all(isinstance(item, Scalar) and item.text in _TYPES for item in items)
    return False


def _is_full_object(table: Table) -> bool:
    kind = table.entries.get("type")
    return isinstance(kind, Scalar) and kind.text == "object"


def _is_schema_file(table: Table) -> bool:
    """`{file: x.json}`, and not an object with the one field `file: string`."""
    return is_file_reference(table) and getattr(table.entries["file"], "text", "").endswith(
        (".json", "}}")
    )


def _as_it_is(table: Table, reader: Reader) -> JsonSchema:
    kind = table.entries.get("type")
    if isinstance(kind, Scalar) and kind.text not in _TYPES:
        raise wrong(kind, f"{shown(kind)} is no type of JSON Schema; {_type_remedy(kind.text)}")
    schema: JsonSchema = _rendered(table, reader)
    check_keywords(schema, str(table.place))
    return schema


def _type_remedy(text: str) -> str:
    match = _LIST_OF.fullmatch(text)
    if match:
        return f"write {{type: array, items: {{type: {match[1]}}}}}"
    return nearest(_SYNONYMS.get(text, text), _TYPES)


def _rendered(node: Node, reader: Reader) -> Any:
    match node:
        case Table():
            return {name: _rendered(entry, reader) for name, entry in node.entries.items()}
        case Listing():
            return [_rendered(item, reader) for item in node.items]
        case Scalar():
            value = json_value(node)
            return with_vars(node, value, reader.variables) if isinstance(value, str) else value


def _from_file(table: Table, reader: Reader) -> JsonSchema:
    node = table.entries["file"]
    path = FilePath().read(node, reader)
    text = read_text(path, place=node.place)
    try:
        schema = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise wrong(node, f"{path}:{error.lineno}: is not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise wrong(node, f"{path}: is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise wrong(node, f"{path} must hold one JSON Schema object")
    return schema


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SpecError(f'"{twice}" is given twice')
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
