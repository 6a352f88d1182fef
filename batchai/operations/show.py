"""`batchai show`: items with prompt, answer, attempts and cost; failures with reasons."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from batchai.domain import Outcome, State
from batchai.errors import SpecError, TemplateError
from batchai.operations.opening import asking_of
from batchai.prompts import Asking, is_same_request
from batchai.reports.json_text import json_text
from batchai.reports.shown import (
    ItemLine,
    Shown,
    ShownAttempt,
    ShownItem,
    ShownList,
    ShownPrompt,
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

_MOST_KEYS = 20_000  # that a mistyped one is compared with

to_text = shown_text
to_json = json_text

__all__ = ["show", "shown_item", "to_json", "to_text"]


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

    A `key` that no item has may name a kind (an outcome or a state). failed: failed items and held
    ones; unknown: those with an attempt that was sent and never recorded. Raises SpecError for an
    unknown key or kind, naming the nearest, and StoreError without a store.
    """
    reader = open_reader(job.store_path)
    try:
        with reader.snapshot():
            if key is not None:
                record = _where_it_stands(job, reader, key)
                if record is not None:
                    return shown_item(job, reader, record)
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
    if kind in _STATES:
        return Wanted("state", kind)
    if kind not in _KINDS:
        raise SpecError(f"{job.path.name}: {one_line(kind)}: no such kind{_guess(kind, _KINDS)}")
    return Wanted("kind", kind)


def _list(job: Job, reader: Reader, wanted: Wanted, *, limit: int) -> ShownList:
    names = job.step_names
    matching = 0
    records: list[ItemRecord] = []
    for name in names[-1:] if wanted.what == "all" else names:  # each has a row in every step
        number, found = item_records(reader, name, wanted, limit=limit - len(records))
        matching += number
        records += found
    return ShownList(
        job=job.name,
        items={state.value: number for state, number in reader.item_counts(*names).items()},
        failures=reader.failure_counts(*names),
        wanted=f"{wanted.name or wanted.what} items",
        matching=matching,
        lines=tuple(map(_line, records)),
    )


def shown_item(
    job: Job, reader: Reader, record: ItemRecord, *, asking: Asking | None = None
) -> ShownItem:
    """One item in full. asking: the job's, where many items are shown with them."""
    attempts = attempt_records(reader, record.step, record.id)
    results = reader.results_of(record.id, job.step_names)
    others = {name: result for name, result in results.items() if name != record.step}
    return ShownItem(
        job=job.name,
        item=_line(record),
        position=record.position,
        is_selected=record.is_selected,
        fields=record.fields,
        settled_at=record.settled_at,
        prompt=_prompt(job, record, asking, others),
        attempts=tuple(map(_attempt, attempts)),
        step=record.step,
        others=others,
    )


def _where_it_stands(job: Job, reader: Reader, key: str) -> ItemRecord | None:
    """The item in the step that it has not passed, or in its last one."""
    record = None
    for name in job.step_names:
        found = item_record(reader, name, key)
        record = found or record
        if found is not None and found.state not in {State.SUCCEEDED, State.SKIPPED}:
            break
    return record


def _prompt(
    job: Job, record: ItemRecord, asking: Asking | None, results: Mapping[str, Any]
) -> ShownPrompt:
    """Prompts are not stored: rendered again, and compared with what was sent by fingerprint."""
    if record.fields is None:
        return ShownPrompt((), "cannot be shown: the store does not keep rows (retain.items)")
    try:
        step = next(step for step in job.steps if step.name == record.step)
        asking = asking or asking_of(job, step)
        known = {name: results.get(name) for name in job.step_names}
        asked = asking.of(record.fields, known)
        if not asked.requests:
            return ShownPrompt((), "the step asks nothing of this item")
        rendered = asked.requests[0]
    except TemplateError as error:
        return ShownPrompt((), str(error))
    turns = [Turn(message.role, message.content) for message in rendered.messages]
    if rendered.system:
        turns.insert(0, Turn("system", rendered.system))
    as_sent = None
    if record.attempts and record.state is not State.PENDING:
        as_sent = is_same_request(asked.fingerprint, record.fingerprint)
    return ShownPrompt(tuple(turns), as_sent=as_sent)


def _line(record: ItemRecord) -> ItemLine:
    return ItemLine(
        key=record.key,
        state=record.state,
        kind=record.outcome,
        error=record.error,
        result=record.result,
        model=record.model,
        attempts=record.attempts,
        cost_usd=record.cost,
        unconfirmed_usd=record.unconfirmed,
    )


def _attempt(record: AttemptRecord) -> ShownAttempt:
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
    )


def _no_such_key(job: Job, reader: Reader, key: str) -> str:
    keys = aggregates.keys_near(reader, key, most=_MOST_KEYS)
    return f"{job.path.name}: no item has the key {one_line(key)!r}{_guess(key, keys)}"


def _guess(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:3]
    if not close:
        return "; there are no items yet"
    return f"; did you mean {' or '.join(repr(one_line(other)) for other in close)}?"
