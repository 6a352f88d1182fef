"""What the job itself has paid for, given to a comparison: the same requests of the same model."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress

from batchai.domain import State
from batchai.engine.scan import Change, Finding, Scan
from batchai.engine.step import PreparedStep
from batchai.errors import StoreError, TemplateError
from batchai.operations.changes import comparison_with_today
from batchai.operations.opening import Opened
from batchai.prompts import is_same_request
from batchai.spec.models import Job
from batchai.store import Reader, open_reader
from batchai.store.groups import LENT_RUN, Operation
from batchai.store.rows import StoredItem
from batchai.store.samples import attempts_to_lend, steps_to_lend

_SETTLED = frozenset({State.SUCCEEDED, State.FAILED})


async def lend(job: Job, found: Opened) -> None:
    """Give what the job's store has of the sample to the store of one model's comparison.

    Steps with the same requests are taken over with their attempts, as of run 0: they count where
    models are judged, and nowhere as spent again. Only items that the comparison does not know
    yet are looked at.
    """
    with suppress(StoreError):  # there is none, or it is not of today's shape: nothing to lend
        reader = open_reader(job.store_path)
        try:
            for findings in await asyncio.to_thread(_new, found):
                await found.store.ledger.absorb(_operations(found, reader, findings))
        finally:
            reader.close()


def lent_results(reader: Reader, step: str) -> int:
    """How many results of a comparison's step the job itself has paid for."""
    rows = reader.query(
        "SELECT count(*) FROM item_steps AS s JOIN items AS i ON i.id = s.item_id "
        "WHERE s.step = :step AND s.part = 0 AND s.run_id = :lent AND i.selected = 1",
        {"step": step, "lent": LENT_RUN},
    )
    return int(rows[0][0])


def _new(found: Opened) -> list[list[Finding]]:
    """The sample's items that the comparison's store does not know, as its first step asks them."""
    reader = Reader(found.store.path)
    try:
        scan = Scan(
            found.source,
            key_columns=found.job.input.key,
            reader=reader,
            steps=found.job.step_names,
            comparison=comparison_with_today(found.job, reader),
            skip_bad_rows=True,
        )
        return [
            [finding for finding in chunk.findings if finding.change is Change.NEW]
            for chunk in scan.chunks()
        ]
    finally:
        reader.close()


def _operations(found: Opened, reader: Reader, findings: Sequence[Finding]) -> Iterator[Operation]:
    names = found.job.step_names
    stored = reader.stored([finding.item.key for finding in findings], *names)
    for finding in findings:
        item = stored.get(finding.item.key)
        same = [] if item is None else _same(found.steps, reader, finding, item)
        if item is not None and same:
            yield from _lent(found, reader, finding, item=item, same=same)


def _same(
    steps: Sequence[PreparedStep], reader: Reader, finding: Finding, item: StoredItem
) -> list[str]:
    """The first steps whose requests of today are those that the job's results are of."""
    results = reader.results_of(item.item_id, [step.name for step in steps])
    same: list[str] = []
    for step in steps:
        known = item.steps.get(step.name)
        if known is None or known.state not in _SETTLED:
            break
        try:
            before = {name: results.get(name) for name in same}
            asked = step.asking.of(finding.item.fields, before)
        except TemplateError:
            break
        if not is_same_request(known.fingerprint, asked.fingerprint):
            break
        same.append(step.name)
        if known.state is State.FAILED:
            break
    return same


def _lent(
    found: Opened, reader: Reader, finding: Finding, *, item: StoredItem, same: Sequence[str]
) -> Iterator[Operation]:
    ledger = found.store.ledger
    item_id, names = ledger.new_item_id(), found.job.step_names
    row = finding.row if found.job.retain.items else None
    yield "add_item", (item_id, finding.item.key, finding.item.position, row)
    for step in same:
        yield from (
            ("lend_step", (item_id, *values)) for values in steps_to_lend(reader, item, step)
        )
        for values in attempts_to_lend(reader, item, step):
            yield "lend_attempt", (ledger.new_attempt_id(), item_id, *values)
    is_over = item.steps[same[-1]].state is State.FAILED
    for number, step in enumerate(names[len(same) :]):
        yield "add_later_step" if number or is_over else "add_step", (item_id, step)
