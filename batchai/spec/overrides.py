"""What the command line changes in a job; each change names itself in messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from batchai.errors import SpecError
from batchai.spec.document import Node, Place, Scalar, Table, parse_document
from batchai.spec.fields import JOB, MODEL
from batchai.spec.kinds import Kind
from batchai.spec.scalars import json_value
from batchai.spec.sections import Section
from batchai.spec.steps import Steps


@dataclass(frozen=True, slots=True)
class Overrides:
    """Values of the command line; they win over the job file, and the named ones over `settings`.

    settings: `limits.concurrency=8` (a dotted field = a YAML value, as if written in the job file).
    variables: `kind=legal`. limit: a number, or "all" for none. allow_paths: further folders that
    paths may lie in.
    """

    model: str | None = None
    base_url: str | None = None
    settings: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    allow_paths: tuple[Path, ...] = ()
    limit: int | str | None = None
    budget: Decimal | str | None = None

    @property
    def fields(self) -> frozenset[str]:
        """The dotted fields that they set."""
        named = {"model": self.model, "model.base_url": self.base_url, "budget_usd": self.budget}
        named["input.limit"] = None if self.limit is None else str(self.limit)
        paths = (setting.partition("=")[0].strip() for setting in self.settings)
        return frozenset({*paths, *(field for field, value in named.items() if value is not None)})


NO_OVERRIDES = Overrides()
_ASKING = {"model", "history", "fallback", "escalate"}  # what of a step names a model
_LOCAL = "local/"  # models of this machine


def with_overrides(root: Table, overrides: Overrides, base: Path) -> Table:
    """The job's map with every override in it; raises SpecError naming the option at fault."""
    for setting in overrides.settings:
        path, value = _pair("--set", setting, "limits.concurrency=8")
        place = Place(f"--set {path}", base)
        root = _placed(root, tuple(path.split(".")), _value(value, place), JOB)
    for variable in overrides.variables:
        root = _with_variable(root, variable, base)
    if overrides.model is not None:
        name = Scalar(Place("--model", base), overrides.model, is_plain=False)
        root = with_model(root, name, named=overrides.fields)
    if overrides.base_url is not None:
        address = Scalar(Place("--base-url", base), overrides.base_url, is_plain=False)
        root = _placed(root, ("model", "base_url"), address, JOB)
    if overrides.limit is not None:
        root = _with_limit(root, str(overrides.limit), base)
    if overrides.budget is not None:
        budget = Scalar(Place("--budget", base), f"{overrides.budget}", is_plain=True)
        root = _placed(root, ("budget_usd",), budget, JOB)
    return root


def with_model(root: Table, name: Node, *, named: frozenset[str] = frozenset()) -> Table:
    """The job's map with another model, also where a history is condensed.

    What belonged to the former one alone is left out. Models of `fallback` and `escalate` stay,
    but with a model of this machine: then nothing of the job may leave it or need a key. named:
    the fields that the command line sets beside; a further model that it names stays in any case.
    """
    root = _with_model(root, name, named)
    steps = root.entries.get("steps")
    if not isinstance(steps, Table):
        return root
    blocks = {
        step: _with_model(block, name, named, path=f"steps.{step}.")
        if isinstance(block, Table) and block.entries.keys() & _ASKING
        else block
        for step, block in steps.entries.items()
    }
    return replaced(root, "steps", Table(steps.place, blocks))


def _with_model(block: Table, name: Node, named: frozenset[str], *, path: str = "") -> Table:
    history = block.entries.get("history")
    if isinstance(history, Table):
        block = replaced(block, "history", _with_name(history, name))
    if isinstance(name, Scalar) and name.text.startswith(_LOCAL):
        block = _without_others(block, name, named, path=path)
    is_step_without_model = path and "model" not in block.entries
    return block if is_step_without_model else _with_name(block, name)


def _without_others(block: Table, name: Node, named: frozenset[str], *, path: str) -> Table:
    """The map in which no other model is asked than a local one of this name.

    A fallback would be the model that has just come to nothing, so there is none. A doubted answer
    is asked for again of the same model: a second look, by which the job goes the way that it
    goes with its own models, and its report shows so.
    """
    if not {f"{path}fallback", f"{path}fallback.models"} & named:
        block = _without(block, "fallback")
    escalate = block.entries.get("escalate")
    own = {f"{path}escalate{field}" for field in ("", ".model", ".model.name")}
    if isinstance(escalate, Table) and not own & named:
        block = replaced(block, "escalate", _with_name(escalate, name))
    return block


def _with_name(block: Table, name: Node) -> Table:
    """The map with another model in its `model`, whose parameters stay."""
    model = block.entries.get("model")
    if isinstance(model, Table | Scalar):
        kept = kept_for_model(MODEL.table(model), name)
        return replaced(block, "model", replaced(kept, "name", name))
    return replaced(block, "model", name)


def kept_for_model(model: Table, name: Node) -> Table:
    """The entries of a model's map that hold for a model of another name too.

    A price belongs to one model; an address, a key and extra fields belong to one provider.
    """
    before, after = (getattr(node, "text", "") for node in (model.entries.get("name"), name))
    dropped: set[str] = set()
    if before and before != after:
        dropped.add("price")
    if before and before.partition("/")[0] != after.partition("/")[0]:
        dropped |= {"base_url", "api_key_env", "extra_body"}
    return Table(
        model.place,
        {field: entry for field, entry in model.entries.items() if field not in dropped},
    )


def replaced(table: Table, name: str, node: Node) -> Table:
    """The map with one entry set."""
    return Table(table.place, {**table.entries, name: node})


def _placed(table: Table, path: tuple[str, ...], node: Node, kind: Kind | None) -> Table:
    name, rest = path[0], path[1:]
    if not name:
        raise SpecError(f"{node.place}: name a field, such as limits.concurrency")
    if not rest:
        return replaced(table, name, node)
    inner = _inner(kind, name)
    before = table.entries.get(name, Table(node.place, {}))
    if isinstance(inner, Section) and inner.short and inner.is_short(before):
        before = inner.table(before)
    if not isinstance(before, Table):
        before = Table(node.place, {})
    return replaced(table, name, _placed(before, rest, node, inner))


def _inner(kind: Kind | None, name: str) -> Kind | None:
    """How an entry of a map is read."""
    if isinstance(kind, Steps):
        return kind.block
    field = kind.fields.get(name) if isinstance(kind, Section) else None
    return field.kind if field else None


def _with_variable(root: Table, variable: str, base: Path) -> Table:
    """A variable is of the type that the file gives it: text unless a number stands there."""
    name, text = _pair("--var", variable, "kind=legal")
    place = Place(f"--var {name}", base)
    node: Node = Scalar(place, text, is_plain=False)
    declared = root.entries.get("vars")
    before = declared.entries.get(name) if isinstance(declared, Table) else None
    if before is not None and not _is_text(before):
        node = parse_document(text, place=place, has_lines=False)
    return _placed(root, ("vars", name), node, JOB)


def _value(text: str, place: Place) -> Node:
    """YAML; but a dash alone is standard input, not a list of nothing."""
    if text.strip() == "-":
        return Scalar(place, "-", is_plain=True)
    return parse_document(text, place=place, has_lines=False)


def _is_text(node: Node) -> bool:
    try:
        return isinstance(json_value(node), str)
    except SpecError:
        return True


def _with_limit(root: Table, limit: str, base: Path) -> Table:
    if limit != "all":
        return _placed(
            root, ("input", "limit"), Scalar(Place("--limit", base), limit, is_plain=True), JOB
        )
    source = root.entries.get("input")
    if not isinstance(source, Table):
        return root
    return replaced(root, "input", _without(source, "limit"))


def _without(table: Table, name: str) -> Table:
    entries: Mapping[str, Node] = {
        field: entry for field, entry in table.entries.items() if field != name
    }
    return Table(table.place, entries)


def _pair(option: str, text: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SpecError(f"{option} {text}: must be NAME=VALUE, such as {option} {example}")
    return name.strip(), value
