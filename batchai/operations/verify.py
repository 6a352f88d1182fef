"""`batchai report --verify`: whether store, ledger, counters, report and result file agree."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from batchai.domain import State
from batchai.errors import ExportError
from batchai.exports.comparing import compare_export
from batchai.operations.export import ResultFile, our_exports, result_files
from batchai.pricing import from_pico
from batchai.reports.tally import tally
from batchai.reports.verification import Check, Verification
from batchai.reports.words import counted, usd
from batchai.spec.loading import shown_path
from batchai.spec.models import Job
from batchai.store import Reader, aggregates, audit, open_reader
from batchai.store.audit import Sums
from batchai.store.lock import is_held

_MOST_EXAMPLES = 10
_DONE = (State.SUCCEEDED, State.SKIPPED)


def verify(job: Job) -> Verification:
    """Prove the job's results, attempts and sums from one state of its store; streamed.

    While a run works, what it has in flight is no difference, and the result file is not compared.
    Raises StoreError without a store.
    """
    is_working = is_held(job.store_path.with_suffix(".lock"))
    reader = open_reader(job.store_path)
    try:
        with reader.snapshot():
            checks = [_database(job, reader)]
            if checks[0].different:  # what a damaged file says proves nothing
                return Verification(job.name, tuple(checks))
            checks += [
                _items(job, reader),
                _attempts(reader, is_working=is_working),
                _counters(reader),
                _report(job, reader),
            ]
        checks += _exports(job, reader, is_working=is_working)
        return Verification(job.name, tuple(checks))
    finally:
        reader.close()


def _database(job: Job, reader: Reader) -> Check:
    problems = list(audit.damage(reader))
    spool = job.store_path.with_suffix(".spool")
    if spool.exists():
        problems.append(
            f"{spool.name} holds paid answers that the store could not take; "
            "the next `batchai run` takes them in"
        )
    return _check("database", "sound, and no answer waits in a spool", problems)


def _items(job: Job, reader: Reader) -> Check:
    problems = (p for name in job.step_names for p in audit.item_problems(reader, name))
    states = [audit.selected_states(reader, name) for name in job.step_names]
    ended = sum(found.get(State.FAILED.value, 0) for found in states)  # an item fails in one step
    ended += sum(states[-1].get(state.value, 0) for state in _DONE)
    proof = f"{ended:,} of {counted(sum(states[0].values()), 'item')} with one final result each"
    return _check("items", proof, problems)


def _attempts(reader: Reader, *, is_working: bool) -> Check:
    number, at_risk = reader.open_attempts()
    open_ones = []
    if number and not is_working:
        open_ones = [
            f"{counted(number, 'attempt')} neither closed nor accounted for, up to {usd(at_risk)}: "
            "the launch died; the next `batchai run` counts them as unconfirmed"
        ]
    total = sum(audit.ledger_sums(reader).values(), Sums())
    in_flight = f", {number:,} in flight" if number else ""
    proof = (
        f"{total.attempts:,} closed{in_flight} · {_usd(total.cost_pico)} · "
        f"{_usd(total.unconfirmed_pico)} unconfirmed"
    )
    return _check("attempts", proof, [*open_ones, *audit.attempt_problems(reader)])


def _counters(reader: Reader) -> Check:
    return _check(
        "counters", "of items and runs are the sums of the ledger", audit.counter_problems(reader)
    )


def _report(job: Job, reader: Reader) -> Check:
    try:
        problems = [
            f"{what}: the report says {told}, the ledger {found}"
            for what, told, found in _told(job, reader)
            if told != found
        ]
    except ValueError as error:  # an outcome or a state that is none
        problems = [f"no report can be made: {error}"]
    return _check("report", "counts the same items, attempts and costs", problems)


def _told(job: Job, reader: Reader) -> Iterator[tuple[str, Any, Any]]:
    """What the report counts, and the same from the ledger."""
    told = tally(list(aggregates.attempt_cells(reader)))
    total = sum(audit.ledger_sums(reader).values(), Sums())
    yield "attempts", told.attempts, total.attempts
    yield "cost", told.cost_usd, from_pico(total.cost_pico)
    yield "unconfirmed cost", told.unconfirmed_usd, from_pico(total.unconfirmed_pico)
    for step in job.steps:
        states = audit.selected_states(reader, step.name)
        shown = {state.value: n for state, n in reader.state_counts(step.name).items()}
        for state in sorted(states.keys() | shown.keys()):
            yield f"{step.name} {state}", shown.get(state, 0), states.get(state, 0)


def _exports(job: Job, reader: Reader, *, is_working: bool) -> Iterator[Check]:
    if job.output.path is None:
        yield Check("export", "no result file yet")
        return
    items, *reduced = result_files(job, job.output.path)
    yield _export(job, reader, items, is_working=is_working, name="export")
    for file in reduced:
        name = f"export of {file.steps[0]}"
        yield _export(job, reader, file, is_working=is_working, name=name)


def _export(job: Job, reader: Reader, file: ResultFile, *, is_working: bool, name: str) -> Check:
    if not file.path.exists():
        return Check(name, "no result file yet")
    if is_working:
        return Check(name, "not compared while a run works")
    if not our_exports(job, file.path):
        return Check(name, f"{shown_path(file.path)} was not written by this job, not compared")
    return _compared(job, reader, file, name)


def _compared(job: Job, reader: Reader, file: ResultFile, check: str) -> Check:
    try:
        with reader.view(*file.steps) as rows:
            found = compare_export(
                lambda: file.shaped(rows()),
                file.path,
                output=job.output,
                result_fields=file.columns,
            )
    except ExportError as error:
        return _check(check, "", [str(error)])
    name = shown_path(file.path)
    if not found.different:
        return Check(check, f"{name} says the same in each of {counted(found.rows, 'row')}")
    return Check(
        check,
        "",
        found.different,
        found.examples,
        remedy=f"{name} is older or was changed: batchai export writes it anew",
    )


def _check(name: str, proof: str, problems: Iterable[str]) -> Check:
    """Counts all problems and keeps the first."""
    stream: Iterator[str] = iter(problems)
    first = tuple(islice(stream, _MOST_EXAMPLES))
    return Check(name, proof, len(first) + sum(1 for _ in stream), first)


def _usd(pico: int) -> str:
    return usd(from_pico(pico))
