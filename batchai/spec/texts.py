"""Texts of a job file: templates and expressions, written in place or as `{file: prompts/x.md}`."""

from dataclasses import dataclass
from typing import Any

from batchai.errors import SpecError, TemplateError
from batchai.spec.document import Node, Scalar, Table, read_text, shown, wrong
from batchai.spec.kinds import Choice, JsonSchema, Reader
from batchai.spec.paths import FilePath
from batchai.spec.scalars import text_value
from batchai.spec.sections import Field, ListOf, Section, nearest
from batchai.templates import compile_expression, compile_template, variables_used

ROOTS = ("item", "vars", "steps")  # what a template may speak of


@dataclass(frozen=True, slots=True)
class FileText:
    """Text, or the content of a UTF-8 file: `{file: prompts/x.md}`."""

    def read(self, node: Node, reader: Reader) -> str:
        text, _ = _loaded(node, reader)
        return text

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, file_schema()]}


@dataclass(frozen=True, slots=True)
class Template:
    """A Jinja2 template over item and vars; its syntax and its names are checked here."""

    def read(self, node: Node, reader: Reader) -> str:
        source, place = _loaded(node, reader)
        try:
            compile_template(source, place=place)
            used = variables_used(source)
        except TemplateError as error:
            raise SpecError(str(error)) from error
        _check_names(place, used, reader)
        return source

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, file_schema()]}


@dataclass(frozen=True, slots=True)
class Expression:
    """A Jinja2 expression such as `item.plan != "free"`."""

    def read(self, node: Node, reader: Reader) -> str:
        source, place = _loaded(node, reader)
        try:
            compile_expression(source, place=place)
            used = variables_used("{{ " + source + " }}")
        except TemplateError as error:
            raise SpecError(str(error)) from error
        _check_names(place, used, reader)
        return source

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, file_schema()]}


def _check_turns(table: Table, values: Any) -> None:
    turns = values.get("messages", ())
    ends_with_user = bool(turns) and turns[-1].get("role") == "user"
    if "user" not in table.entries and not ends_with_user:
        raise wrong(table, "needs `user:`, the text that is sent for each item")
    if "attachments" in table.entries and "user" not in table.entries:
        raise wrong(table, "`attachments` go with `user:`, which is missing")
    if "user" in table.entries and ends_with_user:
        raise wrong(
            table, "the last of `messages` must be the assistant's turn, for `user` follows it"
        )


_TURN = Section(
    {
        "role": Field(Choice(("user", "assistant")), "Who speaks.", is_required=True),
        "content": Field(Template(), "What is said; a template.", is_required=True),
    }
)

PROMPT = Section(
    {
        "system": Field(Template(), "Instructions that are the same for every item."),
        "messages": Field(ListOf(_TURN), "Prior turns and few-shot examples, before `user`."),
        "user": Field(Template(), "What is sent for each item: {{ item.column }} is a column."),
        "attachments": Field(
            ListOf(Template(), lone=True),
            "Paths of images, PDFs or documents that go with `user`, relative to the job file.",
        ),
    },
    short="user",
    is_short=lambda node: isinstance(node, Scalar) or is_file_reference(node),
    check=_check_turns,
)


def is_file_reference(node: Node) -> bool:
    """Whether a node is `{file: …}`."""
    return isinstance(node, Table) and list(node.entries) == ["file"]


def file_schema() -> JsonSchema:
    """`{file: …}` for editors."""
    return {
        "type": "object",
        "properties": {"file": {"type": "string", "description": "Path relative to the job file."}},
        "required": ["file"],
        "additionalProperties": False,
    }


def _loaded(node: Node, reader: Reader) -> tuple[str, str]:
    """The text and the place to name for it."""
    if isinstance(node, Table) and "file" in node.entries:
        if not is_file_reference(node):
            raise wrong(node, "must be text or {file: path} without other fields")
        path = FilePath().read(node.entries["file"], reader)
        return read_text(path, place=node.place), f"{node.place} ({path.name})"
    if isinstance(node, Table):
        raise wrong(node, f"must be text or {{file: path}}, not {shown(node)}")
    text = text_value(node)
    if not text.strip():
        raise wrong(node, "must be text, not empty")
    return text, str(node.place)


def _check_names(place: str, used: dict[str, set[str]], reader: Reader) -> None:
    for root in sorted(used.keys() - set(ROOTS)):
        raise SpecError(f"{place}: `{root}` is unknown: a column is written item.{root}")
    if "steps" in used:
        raise SpecError(f"{place}: `steps` is not available yet: a job has one step")
    for name in sorted(used.get("vars", set()) - reader.variables.keys()):
        known = nearest(name, reader.variables)
        raise SpecError(
            f"{place}: vars.{name} is not given: add it under `vars:` or --var {name}=…; {known}"
        )
