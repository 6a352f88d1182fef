"""What was read of a job file → the frozen Job, after the checks that need several fields."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from batchai.domain import MAIN_STEP
from batchai.errors import SpecError
from batchai.spec import models
from batchai.spec.checks import unknown_fields
from batchai.spec.document import Node, Table, printable, wrong
from batchai.spec.fields import JOB_NAME
from batchai.spec.kinds import Reader
from batchai.spec.project import Project, smaller
from batchai.spec.sections import nearest

_TABULAR = (".csv", ".tsv", ".xlsx", ".parquet")
_POLICIES = ("on_truncated", "on_invalid", "on_refused", "on_unknown", "on_too_long")


@dataclass(frozen=True, slots=True)
class Draft:
    """A job that was read field by field: the nodes say where, the values what."""

    path: Path
    table: Table
    values: Mapping[str, Any]

    def node(self, *names: str) -> Node:
        """The node of a field, or the nearest one around it that was written."""
        node: Node = self.table
        for name in names:
            if not isinstance(node, Table) or name not in node.entries:
                break
            node = node.entries[name]
        return node


def check_together(draft: Draft, reader: Reader) -> None:
    """Notes the mistakes that lie between fields; looks only at those that were read."""
    for check in (
        _check_name,
        _check_budget,
        _check_output,
        _check_expect,
        _check_fixed_values,
        _check_checks,
        _check_splits,
    ):
        with reader.noting():
            check(draft)


def assemble(draft: Draft, project: Project, roots: tuple[Path, ...]) -> models.Job:
    """The job; every value in `draft` must have been read without a mistake."""
    values = draft.values
    name = values.get("name", draft.path.stem)
    source = models.Input(**{**values["input"], "sql": _sql(values["input"])}, roots=roots)
    blocks = values.get("steps") or {MAIN_STEP: values}
    project = replace(project, prices={**project.prices, **values.get("prices", {})})
    steps = tuple(_step(step, block, project) for step, block in blocks.items())
    return models.Job(
        name=name,
        path=draft.path,
        input=source,
        steps=steps,
        output=_output(values, source, draft.path.parent / f"{name}.results"),
        limits=_limits(values, steps[0].model, project),
        **_stop_if(values),
        **_given(values, "vars", "expect", "budget_usd", "allow_failed", "attempts", "dedupe"),
        retain=models.Retain(**values.get("retain", {})),
        notify=project.notify,
    )


def _step(name: str, block: Mapping[str, Any], project: Project) -> models.Step:
    history, reduction = block.get("history"), block.get("reduce")
    return models.Step(
        name=name,
        model=_model(block["model"], project),
        prompt=_prompt(block["prompt"]),
        json_schema=block.get("schema"),
        checks=block.get("checks", ()),
        policies=_policies(block, project),
        condition=block.get("if"),
        foreach=block.get("foreach"),
        **_given(block, "cache"),
        reduction=models.Reduction(**reduction) if reduction else None,
        history=models.History(**{**history, "model": _model(history["model"], project)})
        if history
        else None,
    )


def _policies(block: Mapping[str, Any], project: Project) -> models.Policies:
    further: dict[str, Any] = {}
    if "fallback" in block:
        given = block["fallback"]
        further["fallback"] = models.Fallback(
            models=tuple(_model(model, project) for model in given["models"]), on=given.get("on")
        )
    if "escalate" in block:
        given = block["escalate"]
        further["escalate"] = models.Escalate(
            condition=given["if"], model=_model(given["model"], project)
        )
    return models.Policies(**_given(block, *_POLICIES), **further)


def _given(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _sql(values: Mapping[str, Any]) -> models.SqlInput | None:
    return models.SqlInput(**values["sql"]) if "sql" in values else None


def _model(values: Mapping[str, Any], project: Project) -> models.Model:
    price = values.get("price") or project.prices.get(values["name"])
    return models.Model(
        **{**values, "price": models.Price(**price) if isinstance(price, dict) else price}
    )


def _prompt(values: Mapping[str, Any]) -> models.Prompt:
    turns = tuple(models.PromptMessage(**turn) for turn in values.get("messages", ()))
    return models.Prompt(**{**values, "messages": turns})


def _stop_if(values: Mapping[str, Any]) -> dict[str, Any]:
    if "stop_if" not in values:
        return {}
    given = values["stop_if"]
    if given is None:
        return {"stop_if": None}
    names = {"failed": "failed_share", "of_last": "of_last"}
    return {"stop_if": models.StopIf(**{names[name]: value for name, value in given.items()})}


def _limits(values: Mapping[str, Any], model: models.Model, project: Project) -> models.Limits:
    given = dict(values.get("limits", {}))
    if "max_wait" in given:
        given["max_wait_seconds"] = given.pop("max_wait")
    limits = models.Limits(**given)
    # a server at an address of its own is another account
    account = project.accounts.get(model.provider, {}) if model.base_url is None else {}
    return smaller(limits, account.get("limits", {}))


def _output(values: Mapping[str, Any], source: models.Input, stem: Path) -> models.Output:
    given = dict(values.get("output", {}))
    if "path" not in given:
        given["path"] = stem.with_name(stem.name + (".csv" if _is_tabular(source) else ".jsonl"))
    return models.Output(**given)


def _is_tabular(source: models.Input) -> bool:
    if source.sql is not None:
        return True
    kind = f".{source.format}" if source.format else Path(source.path or "").suffix.lower()
    return kind in _TABULAR


def _check_name(draft: Draft) -> None:
    stem = draft.path.stem
    if "name" not in draft.table.entries and not re.fullmatch(JOB_NAME, stem):
        problem = f"is missing, and the file's name {printable(stem)} cannot stand for it"
        raise SpecError(f"{draft.table.place.field('name')}: {problem}")


def _check_budget(draft: Draft) -> None:
    blocks = draft.values.get("steps") or {MAIN_STEP: draft.values}
    named = [model for block in blocks.values() for model in _models(block)]
    prices = [model.get("price") for model in named]
    if "budget_usd" in draft.values and "none" in prices:
        raise wrong(
            draft.node("budget_usd"),
            "cannot be kept with `price: none`: give model.price, or leave the budget out",
        )


def _models(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every model that a step may ask."""
    yield block.get("model", {})
    for name in ("history", "escalate"):
        yield block.get(name, {}).get("model", {})
    yield from block.get("fallback", {}).get("models", ())


def _check_output(draft: Draft) -> None:
    output = draft.values.get("output", {}).get("path")
    if output is None:
        return
    node = draft.node("output", "path")
    if output.is_dir():
        raise wrong(node, f"{output} is a folder: name a file in it")
    if output == draft.path:
        raise wrong(node, "would overwrite the job file itself")
    path = draft.values.get("input", {}).get("path")
    if path is not None and path != "-" and _is_read(output, path):
        raise wrong(node, "would be read as input by the next run: write it to another folder")


def _is_read(output: Path, path: str) -> bool:
    if str(output) == path or Path(path) in output.parents:
        return True
    return output.match(path) or ("**" in path and fnmatch(str(output), path))


def _check_expect(draft: Draft) -> None:
    known = _columns(draft)
    for name in draft.values.get("expect", {}):
        if known is not None and name not in known:
            raise wrong(draft.node("expect", name), f"is no result field; {nearest(name, known)}")


def _check_fixed_values(draft: Draft) -> None:
    for path, block in _blocks(draft):
        known = _result_fields(block)
        for policy in ("on_invalid", "on_refused"):
            values = _fixed_values(block.get(policy))
            names = (*path, policy, "then") if policy == "on_invalid" else (*path, policy)
            node = draft.node(*names)
            if values and draft.node(*path, "schema") is draft.node(*path):
                raise wrong(
                    node, "fixed values need a `schema:`: without one the result is plain text"
                )
            for name in values:
                if known is not None and name not in known:
                    raise wrong(node, f"{name} is no result field; {nearest(name, known)}")


def _check_splits(draft: Draft) -> None:
    """Only a step that is one request can be split; joined answers must be joinable."""
    for path, block in _blocks(draft):
        split = block.get("on_too_long")
        if not isinstance(split, models.Split):
            continue
        node = draft.node(*path, "on_too_long")
        remedies = {
            "foreach": "make its elements smaller, such as chunks(4000)",
            "reduce": "lower its max_chars",
            "turns": "shorten what its turns say",
        }
        for name in remedies.keys() & {*block, *block.get("prompt", {})}:
            raise wrong(
                node,
                f"split is for steps of one request, and {path[-1] if path else 'this job'} has "
                f"`{name}`: {remedies[name]}, or truncate",
            )
        if split.into == "join" and (problem := _unjoinable(block.get("schema"))):
            raise wrong(node, f"join: {problem}: say split alone, which asks once more")


def _unjoinable(schema: Any, name: str = "the result") -> str:
    """Why the answers on parts of a text cannot be put one after the other; "" where they can."""
    if schema is None:
        return ""
    if "properties" in schema:
        found = (_unjoinable(one, name) for name, one in schema["properties"].items())
        return next(filter(None, found), "")
    if schema.get("type") == "array" or (schema.get("type") == "string" and "enum" not in schema):
        return ""
    return f"{name} is no text and no list, and its parts' answers may differ"


def _check_checks(draft: Draft) -> None:
    for path, block in _blocks(draft):
        known = _result_fields(block)
        if known is None or "schema" not in block:
            continue
        for names, expression in _expressions(block):
            for problem in unknown_fields(expression, known):
                raise wrong(draft.node(*path, *names), problem)


def _expressions(block: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Those that are over a result, with the names that lead to them."""
    for check in block.get("checks", ()):
        if isinstance(check, models.Holds):
            yield ("checks",), check.expression
    if "if" in block.get("escalate", {}):
        yield ("escalate", "if"), block["escalate"]["if"]


def _blocks(draft: Draft) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The steps as they were read, with the names that lead to them; the job's own is unnamed."""
    if "steps" not in draft.table.entries:
        return [((), draft.values)]
    steps = draft.values.get("steps", {})
    return [(("steps", name), block) for name, block in steps.items()]


def _columns(draft: Draft) -> list[str] | None:
    """The columns of all results: `field`, or `step.field` of named steps; None where not known."""
    columns: list[str] = []
    for path, block in _blocks(draft):
        if "reduce" in block:  # its result has a file of its own
            continue
        fields = _result_fields(block)
        if fields is None:
            return None
        if not path:
            return fields
        whole = "schema" not in block or "foreach" in block
        columns += [path[-1]] if whole else [f"{path[-1]}.{field}" for field in fields]
    return columns


def _fixed_values(policy: object) -> dict[str, Any]:
    match policy:
        case models.Repair(then=dict() as values) | models.Fixed(values=values):
            return values
    return {}


def _result_fields(block: Mapping[str, Any]) -> list[str] | None:
    """A step's result fields, `result` for plain text, None where the schema is open or wrong."""
    if "schema" not in block:
        return ["result"]
    schema = block["schema"]
    return list(schema["properties"]) if "properties" in schema else None
