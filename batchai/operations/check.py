"""`batchai check`: mistakes that can be found without sending anything."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain, islice

from batchai.domain import MAIN_STEP
from batchai.engine.scan import duplicate_key
from batchai.errors import BadRowError, BatchaiError, SourceError, SpecError, TemplateError
from batchai.limits import estimate_tokens
from batchai.operations.export import check_exports, columns_of
from batchai.operations.functions import checks_of
from batchai.operations.opening import (
    asking_of,
    checked_fields,
    further_steps,
    max_tokens_of,
    open_input,
    rates_of,
)
from batchai.operations.placing import models_of, placed
from batchai.prompts import Rendered, fields_used, needs_results
from batchai.providers import parameter_mistakes, turn_mistakes
from batchai.schemas import AnswerSchema, schema_mistakes
from batchai.sources import BAD_ROW_REMEDY, BadRow, Record, Source, key_of
from batchai.spec.models import Check, Fixed, Function, Grow, Job, Policies, Repair, Step
from batchai.store.values import to_json
from batchai.templates import variables_used

_SHOWN_FIELDS = 12


def check(job: Job, *, every_item: bool = False) -> Iterator[str]:
    """One line a mistake, with place, problem and remedy; nothing when the job is ready to run.

    every_item: render each item of the input, too.
    """
    yield from spec_mistakes(job)
    try:
        rates_of(job)
        check_exports(job)
        source = open_input(job)
    except BatchaiError as error:
        yield str(error)
        return
    yield from input_mistakes(job, source)
    if every_item:
        yield from _item_mistakes(job, source)


def refuse_mistakes(job: Job, source: Source | None = None) -> None:
    """Raise SpecError with the first mistake of the spec or, with a source, of both together."""
    for mistake in spec_mistakes(job) if source is None else input_mistakes(job, source):
        raise SpecError(mistake)


def spec_mistakes(job: Job) -> Iterator[str]:
    """What the job file alone shows: parameters, turns, schema, policies, limits."""
    for step in job.steps:
        name = job.path.name
        for place, model in models_of(step):
            for line in parameter_mistakes(model):
                field, _, problem = line.removeprefix("model").partition(": ")
                yield placed(job, step, f"{place}{field}", problem)
        yield from (f"{name}: {line}" for line in turn_mistakes(step.prompt))
        if step.json_schema is not None:
            asked = (step.model, *step.policies.further_models)
            for provider in dict.fromkeys(model.provider for model in asked):
                found = schema_mistakes(step.json_schema, provider)
                yield from (f"{name}: {line}" for line in found)
        yield from _fixed_value_mistakes(job, step)
        yield from _growth_mistakes(job, step)
        for one in (step, *further_steps(step)):
            yield from _limit_mistakes(job, one)
        yield from (f"{name}: {_block(step)}{line}" for line in _contradictions(job, step))
        try:
            asking_of(job, step)
            checks_of(job, step)
        except (TemplateError, SpecError) as error:
            yield str(error)
    fields = columns_of(job)
    for field in job.expect:
        if fields and field not in fields:
            yield (
                f"{job.path.name}: expect.{field}: the result has no such field"
                f"{_guess(field, fields)}"
            )


def _contradictions(job: Job, step: Step) -> Iterator[str]:
    """What a step asks for and the job denies it."""
    if step.reduction is not None and step.reduction.by and not job.retain.items:
        yield (
            "reduce.by: groups by the items' rows, which the store is not to keep; set "
            "`retain.items: true`, or reduce without `by`"
        )
    if job.dedupe and any(_looks_beyond_answer(check) for check in step.checks):
        yield (
            "checks: a check that looks at the item or at earlier steps may judge equal answers "
            "differently, and `dedupe` copies them; leave one of the two out"
        )
    escalate = step.policies.escalate
    if job.dedupe and escalate is not None and _speaks_of_item(escalate.condition):
        yield (
            "escalate.if: looks at the item or at earlier steps, so that one of two equal answers "
            "may be in doubt, and `dedupe` copies them; leave one of the two out"
        )


def _looks_beyond_answer(check: Check) -> bool:
    """Python functions are given the item, and may."""
    return isinstance(check, Function) or _speaks_of_item(check.expression)


def _speaks_of_item(expression: str) -> bool:
    """Or of the results of earlier steps, which may differ as well where requests are equal."""
    return not {"item", "steps"}.isdisjoint(variables_used(f"{{{{ {expression} }}}}"))


def _growth_mistakes(job: Job, step: Step) -> Iterator[str]:
    """A bound that the job sets and that answers are beyond from the start."""
    grow = step.policies.on_truncated
    if "on_truncated" not in step.policies.model_fields_set or not isinstance(grow, Grow):
        return
    for one in (step, *further_steps(step)):
        if (begins := max_tokens_of(one)) >= grow.grow:
            yield placed(
                job,
                step,
                "on_truncated.grow",
                f"{grow.grow:,} is no more than the {begins:,} tokens that {one.model.name} may "
                "write at first (model.max_tokens, or what the schema makes likely); raise it, or "
                "write on_truncated: fail",
            )
            return


def input_mistakes(job: Job, source: Source) -> Iterator[str]:
    """Fields that the input does not have; rows among the first 1,000 that cannot be used."""
    if job.input.where is None and not source.head(1):  # else its results would leave the export
        yield f"{source.name}: holds no records; an input needs at least one"
        return
    missing = list(_missing_columns(job, source))
    yield from missing
    if missing or job.input.on_bad_row == "skip":
        return
    try:
        for bad in _bad_rows(source.head(), job.input.key):
            yield f"{bad.place}: {bad.problem}; {BAD_ROW_REMEDY}"
        yield from islice(_ungrouped(job, source.head()), 1)
    except SourceError as error:
        yield str(error)


def unrendered(job: Job) -> str:
    """The steps whose prompts no check can render, in words; "" where it can all."""
    later = [step.name for step in job.steps if needs_results(step)]
    if not later:
        return ""
    takes = "which takes" if len(later) == 1 else "which take"
    return f"not rendered: {', '.join(later)}, {takes} the results of earlier steps"


def _ungrouped(job: Job, records: Iterable[Record | BadRow]) -> Iterator[str]:
    """Items that a reduction's `by` gives no value for."""
    by = [asking_of(job, step) for step in job.reductions]
    for record in records:
        if isinstance(record, BadRow):
            continue
        for asking in by:
            try:
                if asking.value_of_group is not None:
                    asking.value_of_group(asking.prompts.variables(record.fields, {}))
            except TemplateError as error:
                yield f"{record.place}: {error}; write `by` so that it has a value for every row"


def _block(step: Step) -> str:
    """Where a step's fields stand in the job file."""
    return "" if step.name == MAIN_STEP else f"steps.{step.name}."


def _missing_columns(job: Job, source: Source) -> Iterator[str]:
    columns = source.columns()
    if not columns:
        return
    named = [("input.key", column) for column in job.input.key]
    named += [("expect", column) for column in job.expect.values()]
    named += [
        (f"{_block(step)}{place}", field)
        for step in job.steps
        for place, fields in {**fields_used(step), "checks": checked_fields(step)}.items()
        for field in sorted(fields)
    ]
    for place, field in named:
        if field not in columns:
            shown = ", ".join(columns[:_SHOWN_FIELDS])
            yield (
                f"{job.path.name}: {place}: {source.name} has no column {field!r}"
                f"{_guess(field, columns) or f'; it has {shown}'}"
            )


def _bad_rows(head: Sequence[Record | BadRow], key_columns: tuple[str, ...]) -> Iterator[BadRow]:
    """Rows without a usable key, and keys that come twice, among the first records."""
    seen: set[str] = set()
    for record in head:
        if isinstance(record, BadRow):
            yield record
            continue
        if not key_columns:
            continue
        try:
            key = key_of(record.fields, key_columns)
        except BadRowError as error:
            yield BadRow(record.place, str(error))
            continue
        if key in seen:
            yield BadRow(record.place, duplicate_key(key, key_columns))
        seen.add(key)


def _item_mistakes(job: Job, source: Source) -> Iterator[str]:
    """Every row that cannot be used, and every item that cannot be rendered."""
    asked = [(step, asking_of(job, step)) for step in job.item_steps if not needs_results(step)]
    for record in source.records():
        if isinstance(record, BadRow):
            yield f"{record.place}: {record.problem}"
            continue
        try:
            if job.input.key:
                key_of(record.fields, job.input.key)
        except BatchaiError as error:
            yield f"{record.place}: {error}"
        for step, asking in asked:
            try:
                requests = asking.of(record.fields, {}).requests
            except TemplateError as error:
                yield f"{record.place}: {error}"
                continue
            found = chain.from_iterable(_over_limits(job, step, one) for one in requests)
            yield from (f"{record.place}: {line}" for line in islice(found, 1))
        yield from _ungrouped(job, (record,))


def _over_limits(job: Job, step: Step, rendered: Rendered) -> Iterator[str]:
    """A request that no window can ever admit, by its estimated size."""
    texts = [rendered.system or "", *(message.content for message in rendered.messages)]
    size = sum(map(estimate_tokens, texts))
    for kind, needed in (("input_tokens", size), ("tokens", size + max_tokens_of(step))):
        for period in ("minute", "day"):
            name = f"{kind}_per_{period}"
            limit = getattr(job.limits, name)
            if limit is not None and needed > limit:
                yield (
                    f"limits.{name}: its request needs about {needed:,} tokens, the limit is "
                    f"{limit:,}; raise the limit or shorten the item"
                )


def _fixed_value_mistakes(job: Job, step: Step) -> Iterator[str]:
    """Fixed values stand in for an answer, so they must be a valid one."""
    for name, values in _fixed_values(step.policies):
        if step.json_schema is None:
            yield (
                f"{job.path.name}: {name}: fixed values need a `schema:`, since they stand for "
                "a result"
            )
            continue
        problem = AnswerSchema(step.json_schema).read(to_json(values)).problem
        if problem is not None:
            yield f"{job.path.name}: {name}: the fixed values do not fit the schema: {problem}"


def _fixed_values(policies: Policies) -> Iterator[tuple[str, dict[str, object]]]:
    for name in ("on_truncated", "on_invalid", "on_refused"):
        match getattr(policies, name):
            case Repair(then=dict() as values) | Fixed(values=values):
                yield name, values


def _limit_mistakes(job: Job, step: Step) -> Iterator[str]:
    """A single request that no window can ever admit."""
    output = max_tokens_of(step)
    kinds, periods = ("tokens", "output_tokens"), ("minute", "day")
    for name in (f"{kind}_per_{period}" for kind in kinds for period in periods):
        limit = getattr(job.limits, name)
        if limit is not None and output > limit:
            yield (
                f"{job.path.name}: limits.{name}: one answer may take {output:,} tokens, "
                f"the limit is {limit:,}; raise the limit or lower model.max_tokens"
            )


def _guess(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
