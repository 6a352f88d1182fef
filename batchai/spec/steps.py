"""`steps:`: named blocks in order, each knowing the ones before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchai.domain import MAIN_STEP
from batchai.spec.document import Node, Table, printable, shown, wrong
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.sections import Section, nearest
from batchai.templates import is_name

_OF_EACH = frozenset({"each", "each_index"})
_OF_A_REDUCTION = frozenset({"results", "group", "vars"})


@dataclass(frozen=True, slots=True)
class Steps:
    """A map of step names to blocks; what a step may speak of are the steps before it."""

    block: Section

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        if not isinstance(node, Table) or not node.entries:
            raise wrong(node, f"must be a map of named steps, not {shown(node)}")
        steps: dict[str, Any] = {}
        known: dict[str, frozenset[str] | None] = {}
        for name, entry in node.entries.items():
            with reader.noting():
                _check_step_name(name, entry)
                within = replace(reader, steps=dict(known), roots_of_texts=_roots(entry, reader))
                steps[name] = self.block.read(entry, within)
                _check_shape(entry, steps[name], steps)
                known[name] = _fields(steps[name])
        return steps

    def schema(self) -> JsonSchema:
        block = self.block.schema()
        block.pop("required")  # the job may give the model
        block["required"] = ["prompt"]
        return {"type": "object", "minProperties": 1, "additionalProperties": block}


def _check_step_name(name: str, entry: Node) -> None:
    if name == MAIN_STEP or not is_name(name):
        why = (
            "is the name of a job's step without `steps:`"
            if name == MAIN_STEP
            else (
                "is no name for a step: take letters, digits and _, so that templates can say "
                "steps.NAME"
            )
        )
        raise wrong(entry, f"{printable(name)} {why}")


def _roots(entry: Node, reader: Reader) -> frozenset[str]:
    fields = entry.entries if isinstance(entry, Table) else {}
    if "reduce" in fields:
        return _OF_A_REDUCTION
    return reader.roots_of_texts | (_OF_EACH if "foreach" in fields else frozenset())


def _check_shape(entry: Node, values: Mapping[str, Any], steps: Mapping[str, Any]) -> None:
    """What excludes each other, and a reduction's place: it ends the way of the items."""
    assert isinstance(entry, Table)
    reduced = values.get("reduce")
    if reduced is None:
        before = [name for name, step in steps.items() if "reduce" in step]
        if before:
            raise wrong(entry, f"comes after the reduction {before[0]}: reductions stand last")
        if "foreach" in values and "turns" in values.get("prompt", {}):
            raise wrong(entry, "has `foreach` and `prompt.turns`: make them two steps")
        return
    for name in ("if", "foreach", "history"):
        if name in values:
            raise wrong(entry.entries[name], f"a reduction takes no `{name}`")
    if "turns" in values.get("prompt", {}):
        raise wrong(entry.entries["prompt"], "a reduction takes no turns")
    if reduced.get("of") not in list(steps)[:-1]:
        earlier = nearest(str(reduced.get("of")), list(steps)[:-1])
        raise wrong(entry.entries["reduce"], f"{reduced.get('of')} is no earlier step; {earlier}")


def _fields(values: Mapping[str, Any]) -> frozenset[str] | None:
    """The fields that later steps may take; None: anything, for the result is text or a list."""
    schema = values.get("schema")
    if schema is None or "foreach" in values or "turns" in values.get("prompt", {}):
        return None
    properties = schema.get("properties")
    is_open = schema.get("additionalProperties", False) is not False
    return None if properties is None or is_open else frozenset(properties)
