"""`batchai show`: items with prompt, answer, attempts and cost; failures with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from batchai.domain import NO_COST, Outcome, State
from batchai.errors import SpecError, TemplateError
from batchai.operations.opening import asking_of
from batchai.operations.reducing import group_name
from batchai.prompts import Asking, Kind, Rendered, is_same_request
from batchai.reports.json_text import json_text
from batchai.reports.shown import (
    ItemLine,
    Shown,
    ShownAttempt,
    ShownItem,
    ShownList,
    ShownPrompt,
    ShownStep,
    Turn,
)
from batchai.reports.shown_text import shown_text
from batchai.reports.words import one_line
from batchai.spec.models import Job
from batchai.store import Reader, aggregates, open_reader
from batchai.store.records import (
    AttemptRecord,
    ItemRecord,
    Wanted,
    attempt_records,
    item_record,
    item_records,
)
from batchai.store.results import overall

_PASSED = frozenset({State.SUCCEEDED, State.SKIPPED})
_MOST_KEYS = 20_000  # that a mistyped one is compared with

to_text = shown_text
to_json = json_text

__all__ = ["askings_of", "show", "shown_item", "to_json", "to_text"]


def show(
    job: Job,
    *,
    key: str | None = None,
    failed: bool = False,
    unknown: bool = False,
    kind: str | None = None,
    limit: int = 20,
) -> Shown:
    """One item in full where `key` is one's key, else the first items of a sort, in short.

    A `key` that no item has may name a reduction, whose groups are listed, or a kind (an outcome
    or a state); where no item ended with an outcome, those that got over it are listed.
    failed: failed items and held ones; unknown: those with an attempt that was sent and never
    recorded. Raises SpecError for an unknown key or kind, naming the nearest, and StoreError
    without a store.
    """
    reader = open_reader(job.store_path)
    try:
        with reader.snapshot():
            if key is not None:
                if records := item_record(reader, job.step_names, key):
                    return shown_item(job, reader, records, askings=askings_of(job))
                if key in {step.name for step in job.reductions}:
                    return _groups(job, reader, key, limit=limit)
                if key not in _KINDS:
                    raise SpecError(_no_such_key(job, reader, key))
            wanted = _wanted(job, kind=kind or key, failed=failed, unknown=unknown)
            return _list(job, reader, wanted, limit=limit)
    finally:
        reader.close()


_STATES = tuple(state.value for state in State)
_KINDS = (*(outcome.value for outcome in Outcome), *_STATES)


def _wanted(job: Job, *, kind: str | None, failed: bool, unknown: bool) -> Wanted:
    if unknown or kind == State.UNKNOWN:
        return Wanted("unknown")
    if kind is None or kind == State.FAILED:
        return Wanted("failed" if failed or kind else "all")
    if kind in {State.SUCCEEDED, State.SKIPPED}:
        return Wanted(kind)
    if kind in _STATES:
        return Wanted("state", kind)
    if kind not in _KINDS:
        raise SpecError(f"{job.path.name}: {one_line(kind)}: no such kind{_guess(kind, _KINDS)}")
    return Wanted("kind", kind)


def _list(job: Job, reader: Reader, wanted: Wanted, *, limit: int) -> ShownList:
    names = job.step_names
    label = f"{wanted.name or wanted.what} items"
    matching, found = item_records(reader, names, wanted, limit=limit)
    if wanted.what == "kind" and not matching:
        label = f"items with an attempt that ended {wanted.name}"
        matching, found = item_records(reader, names, Wanted("attempted", wanted.name), limit=limit)
    return ShownList(
        job=job.name,
        items={state.value: number for state, number in reader.item_counts(*names).items()},
        failures=reader.failure_counts(*names),
        wanted=label,
        matching=matching,
        lines=tuple(map(_line, found)),
    )


def _groups(job: Job, reader: Reader, step: str, *, limit: int) -> ShownList:
    """The groups of a reduction, by the value that they share."""
    wanted = Wanted("all")
    matching, found = item_records(reader, (step,), wanted, limit=limit, are_groups=True)
    names = [group_name(record.fields) for (record,) in found]
    return ShownList(
        job=job.name,
        items={state.value: number for state, number in reader.state_counts(step).items()},
        failures=reader.failure_counts(step),
        wanted=f"groups of {step}",
        matching=matching,
        lines=tuple(
            replace(_line(records), key=name) for name, records in zip(names, found, strict=True)
        ),
        reduction=step,
    )


def shown_item(
    job: Job, reader: Reader, records: Sequence[ItemRecord], *, askings: Mapping[str, Asking | str]
) -> ShownItem:
    """One item in full. records: it in each step; askings: see `askings_of`."""
    stands = _where_it_stands(records)
    results = reader.results_of(stands.id, job.step_names)
    known = {name: results.get(name) for name in job.step_names}
    steps = tuple(
        ShownStep(record.step, _line([record]), _prompts(record, askings[record.step], known))
        for record in records
        if record is stands or record.attempts or record.state is not State.WAITING
    )
    here = next(step for step in steps if step.name == stands.step)
    attempts = attempt_records(reader, job.step_names, stands.id)
    return ShownItem(
        job=job.name,
        item=_line(records),
        position=stands.position,
        is_selected=stands.is_selected,
        fields=stands.fields,
        settled_at=stands.settled_at,
        prompt=here.prompts[0],
        attempts=tuple(_attempt(attempt, askings.get(attempt.step, "")) for attempt in attempts),
        steps=steps,
    )


def askings_of(job: Job) -> dict[str, Asking | str]:
    """What each step that items go through asks; of a wrong template, the mistake."""
    found: dict[str, Asking | str] = {}
    for step in job.item_steps:
        try:
            found[step.name] = asking_of(job, step)
        except TemplateError as error:
            found[step.name] = str(error)
    return found


def _where_it_stands(records: Sequence[ItemRecord]) -> ItemRecord:
    """The item in the step that it has not passed, or in its last one."""
    return next((record for record in records if record.state not in _PASSED), records[-1])


def _prompts(
    record: ItemRecord, asking: Asking | str, results: Mapping[str, Any]
) -> tuple[ShownPrompt, ...]:
    """Prompts are not stored: rendered again, and compared with what was sent by fingerprint."""
    if record.fields is None:
        problem = "cannot be shown: the store does not keep rows (retain.items)"
        return (ShownPrompt((), problem),)
    if isinstance(asking, str):
        return (ShownPrompt((), asking),)
    try:
        asked = asking.of(record.fields, results)
    except TemplateError as error:
        return (ShownPrompt((), str(error)),)
    if not asked.requests:
        return (ShownPrompt((), "the step asks nothing of this item"),)
    as_sent = None
    if record.attempts and record.state is not State.PENDING:
        as_sent = is_same_request(asked.fingerprint, record.fingerprint)
    if asking.kind is Kind.TURNS:
        first, *later = asked.requests
        asked_later = [Turn(r.messages[-1].role, r.messages[-1].content) for r in later]
        return (ShownPrompt((*_turns(first), *asked_later), as_sent=as_sent),)
    first_part = 1 if asking.kind is Kind.EACH else 0
    return tuple(
        ShownPrompt(_turns(rendered), as_sent=as_sent, part=part)
        for part, rendered in enumerate(asked.requests, first_part)
    )


def _turns(rendered: Rendered) -> tuple[Turn, ...]:
    turns = [Turn(message.role, message.content) for message in rendered.messages]
    return (Turn("system", rendered.system), *turns) if rendered.system else tuple(turns)


def _line(records: Sequence[ItemRecord]) -> ItemLine:
    """An item over its steps."""
    stands = _where_it_stands(records)
    results = {record.step: record.result for record in records if record.result is not None}
    state = overall(record.state for record in records)
    return ItemLine(
        key=stands.key,
        state=state,
        kind=state.value if state is State.SUCCEEDED and len(records) > 1 else stands.outcome,
        error=stands.error,
        result=results if len(records) > 1 else stands.result,
        model=stands.model,
        attempts=sum(record.attempts for record in records),
        cost_usd=sum((record.cost for record in records), NO_COST),
        unconfirmed_usd=sum((record.unconfirmed for record in records), NO_COST),
    )


def _attempt(record: AttemptRecord, asking: Asking | str) -> ShownAttempt:
    is_open = record.outcome is None
    return ShownAttempt(
        number=record.number,
        run=record.run,
        outcome=record.outcome,
        model=record.resolved or record.model,
        sent_at=record.sent_at,
        latency_seconds=record.latency_seconds,
        max_tokens=record.max_tokens,
        tokens=record.tokens,
        cost_usd=record.cost,
        unconfirmed_usd=record.worst if is_open else record.unconfirmed,
        status=record.status,
        request_id=record.request_id,
        detail=record.detail,
        answer=record.answer,
        purpose=record.purpose,
        step=record.step,
        part=record.part,
        piece=_piece(
            record.part, is_talk=not isinstance(asking, str) and asking.kind is Kind.TURNS
        ),
    )


def _piece(part: int, *, is_talk: bool) -> str:
    """A part in words; see `Talk` for the numbers of turns."""
    if not part:
        return ""
    if not is_talk:
        return f"part {part}"
    return f"summary before turn {part // 2 + 1}" if part % 2 else f"turn {part // 2}"


def _no_such_key(job: Job, reader: Reader, key: str) -> str:
    keys = aggregates.keys_near(reader, key, most=_MOST_KEYS)
    return f"{job.path.name}: no item has the key {one_line(key)!r}{_guess(key, keys)}"


def _guess(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:3]
    if not close:
        return "; there are no items yet"
    return f"; did you mean {' or '.join(repr(one_line(other)) for other in close)}?"
