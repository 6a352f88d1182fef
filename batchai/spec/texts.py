"""Texts of a job file: templates and expressions, written in place or as `{file: prompts/x.md}`."""

from dataclasses import dataclass, replace
from typing import Any

from batchai.errors import SpecError, TemplateError
from batchai.spec.document import Node, Scalar, Table, read_text, shown, wrong
from batchai.spec.kinds import Choice, JsonSchema, Reader
from batchai.spec.models import Prompt
from batchai.spec.paths import FilePath
from batchai.spec.scalars import text_value
from batchai.spec.sections import Field, ListOf, Section, nearest
from batchai.templates import (
    compile_expression,
    compile_template,
    nested_fields_used,
    variables_used,
)

_OF_EACH = frozenset({"each", "each_index"})
_OF_A_REDUCTION = frozenset({"results", "group"})


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
            _check_names(place, source, reader)
        except TemplateError as error:
            raise SpecError(str(error)) from error
        return source

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, file_schema()]}


@dataclass(frozen=True, slots=True)
class Expression:
    """A Jinja2 expression such as `item.plan != "free"`. roots: what it may speak of, where that
    is not what the texts around it may."""

    roots: frozenset[str] | None = None

    def read(self, node: Node, reader: Reader) -> str:
        source, place = _loaded(node, reader)
        try:
            compile_expression(source, place=place)
            within = reader if self.roots is None else replace(reader, roots_of_texts=self.roots)
            _check_names(place, "{{ " + source + " }}", within)
        except TemplateError as error:
            raise SpecError(str(error)) from error
        return source

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, file_schema()]}


def _remedy(root: str, reader: Reader) -> str:
    if root in _OF_EACH:
        return " here: it is an element of `foreach`"
    if root in _OF_A_REDUCTION:
        return " here: it belongs to a step with `reduce`"
    if "item" in reader.roots_of_texts:
        return f": a column is written item.{root}"
    return f": a reduction knows {', '.join(sorted(reader.roots_of_texts))}"


@dataclass(frozen=True, slots=True)
class Turns:
    """The user's turns of a conversation: a list of templates, or an expression that gives one."""

    def read(self, node: Node, reader: Reader) -> tuple[str, ...] | str:
        if isinstance(node, Scalar):
            return Expression().read(node, reader)
        turns = ListOf(Template()).read(node, reader)
        if not turns:
            raise wrong(node, "must have at least one turn")
        return turns

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": Template().schema()}]}


def _check_turns(table: Table, values: Any) -> None:
    if "turns" in table.entries:
        if "user" in table.entries:
            raise wrong(table.entries["turns"], "stands beside `user`: make it the first turn")
        if any(turn.get("role") == "user" for turn in values.get("messages", ())[-1:]):
            raise wrong(table, "the last of `messages` must be the assistant's before `turns`")
        return
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
        "turns": Field(
            Turns(), "A conversation: the user's turns one after the other, as a list or a column."
        ),
    },
    short="user",
    is_short=lambda node: isinstance(node, Scalar) or is_file_reference(node),
    check=_check_turns,
)


def prompt_texts(prompt: Prompt) -> list[str]:
    """Every template of a prompt, an expression as one that writes it."""
    turns = prompt.turns or ()
    texts = [prompt.system, prompt.user, *(turn.content for turn in prompt.messages)]
    texts += prompt.attachments
    texts += [f"{{{{ {turns} }}}}"] if isinstance(turns, str) else turns
    return [text for text in texts if text]


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


def _check_names(place: str, source: str, reader: Reader) -> None:
    used = variables_used(source)
    for root in sorted(used.keys() - reader.roots_of_texts):
        raise SpecError(f"{place}: `{root}` is unknown{_remedy(root, reader)}")
    if "steps" in used and not reader.steps:
        raise SpecError(f"{place}: `steps`: there is no earlier step whose result could be used")
    for name in sorted(used.get("steps", set()) - reader.steps.keys()):
        known = nearest(name, reader.steps)
        raise SpecError(f"{place}: steps.{name} is no earlier step; {known}")
    for name, field in sorted(nested_fields_used(source, "steps")):
        fields = reader.steps[name]
        if fields is not None and field not in fields:
            raise SpecError(
                f"{place}: steps.{name}.{field} is no field of its result; {nearest(field, fields)}"
            )
    reader.used.update(used.get("vars", set()))
    for name in sorted(used.get("vars", set()) - reader.variables.keys()):
        known = nearest(name, reader.variables)
        raise SpecError(
            f"{place}: vars.{name} is not given: add it under `vars:` or --var {name}=…; {known}"
        )
