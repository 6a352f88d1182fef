"""The job files that `batchai init` writes: templates, filled with what the data looks like."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from textwrap import wrap
from types import MappingProxyType

import yaml

from batchai.reports.words import counted
from batchai.spec.document import printable

LOCAL_MODEL = "local/smollm2-135m"
KEYED_MODELS = ("anthropic/claude-haiku-5-5", "openai/gpt-6-luna")  # the first has preference

_MAX_PATH = 200  # characters in a comment
_MAX_LISTED = 40  # columns in a comment
_MAX_SENT = 8  # columns in a prompt without a text column
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PLAIN = re.compile(r"(?:\.\.?/)*[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_STEPS = (Decimal("0.50"), Decimal(1), Decimal("2.50"), Decimal(5), Decimal(10))


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of work. A schema of () asks for plain text; usd_per_item is a rough guess."""

    about: str
    system: tuple[str, ...]
    schema: tuple[str, ...]
    usd_per_item: Decimal
    local_schema: tuple[str, ...] | None = None  # small models do best with a short question
    local_question: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """What the job reads, as far as it is known. rows: None without a data file."""

    path: str  # relative to the job file
    format: str
    columns: tuple[str, ...]
    rows: int | None
    bad_rows: int
    key: str | None
    text_column: str | None


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "classify": Template(
            about="Sort each item into classes that can be counted.",
            system=(
                "You classify customer feedback.",
                "category: what it is mainly about; other where no class fits.",
                "sentiment: neutral only where neither praise nor complaint outweighs.",
                "key_issue: one plain sentence, without names.",
            ),
            schema=(
                "category: [product, support, pricing, other]  # a list: one of these words",
                "sentiment: [positive, neutral, negative]",
                "key_issue: {type: string, description: One sentence on the main point}",
            ),
            usd_per_item=Decimal("0.0005"),
            local_schema=("sentiment: [positive, negative]  # a list: one of these words",),
            local_question="Is the sentiment of this positive or negative?",
        ),
        "summarise": Template(
            about="Two or three sentences on each item, as plain text, in a column `result`.",
            system=(
                "Summarise in two or three sentences of plain English what is said, and what is",
                "asked for, if anything. Add nothing that is not there. No headings, no lists.",
            ),
            schema=(),
            usd_per_item=Decimal("0.001"),
        ),
        "extract": Template(
            about="Pull facts out of each item into fields.",
            system=(
                "You extract facts. Report only what the text says, as it is written there. Where",
                "it says nothing on a point, the list stays empty.",
            ),
            schema=(
                "people: list of string",
                "organisations: list of string",
                "dates: list of string",
                "amounts: {type: array, items: {type: string}, description: Sums with currency}",
                "topic: {type: string, description: A few words}",
            ),
            usd_per_item=Decimal("0.001"),
        ),
        "documents": Template(
            about="Read each document of a folder into one record.",
            system=(
                "You read business documents closely. Report only what the document says, with its",
                "figures and dates as they are written there. Where it says nothing on a point,",
                "the list stays empty.",
            ),
            schema=(
                "kind: {type: string, description: What sort of document it is}",
                "subject: {type: string, description: One sentence}",
                "key_points: list of string",
                "action_items: {type: array, items: {type: string}, description: Who does what}",
            ),
            usd_per_item=Decimal("0.02"),
        ),
    }
)


def job_text(template: Template, data: Data, *, name: str, model: str, output: str) -> str:
    """The commented job file; every text of the data's own is quoted as YAML and Jinja need it."""
    is_local = model == LOCAL_MODEL
    sections = [
        _head(template, data, name),
        _input(data),
        _model(is_local, model),
        _prompt(template, data, is_local=is_local),
        _schema(template, is_local=is_local),
        [f"output: {yaml_text(output)}"],
        _budget(template, data, is_local=is_local),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def yaml_text(text: str) -> str:
    """A text as a YAML scalar that every reader takes for this text, on one line."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return yaml.safe_dump(
        text, default_style='"', allow_unicode=True, width=float("inf")
    ).removesuffix("\n")


def reference(column: str) -> str:
    """`{{ item.text }}`, and `{{ item["Customer Name"] }}` where the name is no plain word."""
    if _NAME.fullmatch(column):
        return f"{{{{ item.{column} }}}}"
    escaped = column.replace("\\", r"\\").replace('"', r"\"")
    safe = "".join(letter if letter.isprintable() else _escape(letter) for letter in escaped)
    return f'{{{{ item["{safe}"] }}}}'


def _escape(letter: str) -> str:
    return f"\\U{ord(letter):08x}"


def _head(template: Template, data: Data, name: str) -> list[str]:
    lines = [
        f"# {template.about}",
        "#",
        f"#   batchai try {name}    a few items, shown with their cost",
        f"#   batchai run {name}    all of them; what is done stays done",
        "#",
    ]
    if data.rows is None:
        return [
            *lines,
            "# No data yet: put yours at the path below, and its columns into the prompt.",
        ]
    noun = "document" if data.format == "files" else "row"
    lines.append(f"# Data: {printable(data.path, limit=_MAX_PATH)}, {counted(data.rows, noun)}")
    listed = ", ".join(map(printable, data.columns[:_MAX_LISTED]))
    if len(data.columns) > _MAX_LISTED:
        listed += f" and {len(data.columns) - _MAX_LISTED} more"
    return lines + wrap(
        f"Columns: {listed}", 98, initial_indent="# ", subsequent_indent="#   ",
        break_on_hyphens=False,
    )  # fmt: skip


def _input(data: Data) -> list[str]:
    lines = ["input:", f"  path: {yaml_text(data.path)}"]
    if data.key is not None:
        lines.append(f"  key: {yaml_text(data.key)}  # identifies an item: what is done stays done")
    else:
        lines.append("  # key: COLUMN  # unique; without one an item is known by its content")
    if data.bad_rows:
        lines.append(f"  on_bad_row: skip  # {counted(data.bad_rows, 'row')} cannot be used")
    lines += [
        '  # where: item.plan != "free"',
        "  # limit: 100  # only the first 100",
    ]
    return lines


def _model(is_local: bool, model: str) -> list[str]:
    if not is_local:
        return [f"model: {model}"]
    return [
        "# A small model on this machine: no account, no cost, no judge of hard questions. With a",
        f"# key in the environment or in .env beside this file: {' or '.join(KEYED_MODELS)}",
        "model:",
        f"  name: {model}",
        "  temperature: 0  # the likeliest answer each time",
    ]


def _prompt(template: Template, data: Data, *, is_local: bool) -> list[str]:
    question = template.local_question if is_local else ""
    system = () if question else template.system
    lines = ['# The data\'s columns are {{ item.NAME }} or {{ item["ANY NAME"] }}.', "prompt:"]
    if system:
        lines += ["  system: |-", *(f"    {line}" for line in system)]
    lines += ["  user: |-", *(f"    {line}".rstrip() for line in _user(data))]
    if question:
        lines += ["", f"    {question}"]
    return lines


def _user(data: Data) -> list[str]:
    if data.format == "files":
        return ["Document {{ item.name }}:", "", "{{ item.text }}"]
    if data.text_column is not None:
        return [f"{_label(data.text_column)}: {reference(data.text_column)}"]
    sent = [column for column in data.columns if column != data.key] or list(data.columns)
    return [f"{_label(column)}: {reference(column)}" for column in sent[:_MAX_SENT]]


def _label(column: str) -> str:
    """A column's name as plain text of a template: its braces would be code."""
    words = re.sub(r"[{}%#\s]+", " ", printable(column)).strip()
    return words[:1].upper() + words[1:] if words else "Value"


def _schema(template: Template, *, is_local: bool) -> list[str]:
    fields = (template.local_schema if is_local else None) or template.schema
    if not fields:
        return ["# Without a `schema:` the answer is taken as it is written."]
    return [
        "schema:",
        *(f"  {field}" for field in fields),
        "  # a line more is a field more; a `?` after its name makes it optional",
        "",
        "# expect: {FIELD: COLUMN}  # a column with right answers: the report says how many agree",
    ]


def _budget(template: Template, data: Data, *, is_local: bool) -> list[str]:
    limits = "# limits: {requests_per_minute: 50}  # what your account allows"
    if is_local:
        return ["# budget_usd: 1.00  # for a model that costs something", limits]
    budget = _budget_usd(template.usd_per_item * (data.rows or 0))
    return [
        f"budget_usd: {budget:.2f}  # a run never spends more; `batchai plan` says what it takes",
        limits,
    ]


def _budget_usd(guess: Decimal) -> Decimal:
    """Round and safe: the guess and no more than $10, which the user may raise."""
    return next((step for step in _STEPS if guess <= step), _STEPS[-1])
