"""`batchai try`: send a few items for real and look at them; the results count."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchai.clock import Clock
from batchai.domain import NO_COST, ResultRow, State
from batchai.engine.intake import SCAN_MARK, Intake, Selection
from batchai.engine.progress import Progress
from batchai.engine.runner import End
from batchai.engine.scan import SENT, Finding, Scan, ScanChunk
from batchai.errors import SpecError, TemplateError
from batchai.operations.changes import comparison_with_today, stamp_of
from batchai.operations.check import refuse_mistakes
from batchai.operations.console import Console, Silence
from batchai.operations.launch import Launch
from batchai.operations.opening import Opened, asking_of, opened
from batchai.operations.run import holds_unknown
from batchai.prompts import Rendered
from batchai.spec import spec_identity
from batchai.spec.models import Job
from batchai.store import Reader
from batchai.store.rows import Run


@dataclass(frozen=True, slots=True)
class TriedItem:
    """One item: what was sent (by step, as far as it could be rendered) and what became of it.

    is_new: it was sent now; else its result was there already. cost: of this trial, in USD.
    skipped: steps that were passed over.
    """

    prompts: tuple[tuple[str, Rendered], ...]
    row: ResultRow
    is_new: bool
    cost: Decimal
    skipped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Trial:
    """The items that were tried, and how it ended. items_in_input: of the whole selection."""

    tried: list[TriedItem]
    end: End
    exit_code: int
    items_in_input: int
    is_free: bool

    @property
    def cost(self) -> Decimal:
        """What it cost, in USD."""
        return sum((item.cost for item in self.tried), NO_COST)


async def try_items(
    job: Job,
    *,
    count: int = 3,
    key: str | None = None,
    on_text: Callable[[str, str], None] | None = None,
    console: Console | None = None,
    clock: Clock | None = None,
) -> Trial:
    """Send the first `count` items, or the one of this key; those that are done are only shown.

    on_text: is told an item's key and each piece of its answer as it is written, one item after
    the other. Raises SpecError for an unknown key, and what `run_job` raises.
    """
    refuse_mistakes(job)
    if on_text is not None:
        job = job.model_copy(update={"limits": job.limits.model_copy(update={"concurrency": 1})})
    async with opened(job, console=console or Silence(), clock=clock) as found:
        refuse_mistakes(job, found.source)
        hold = holds_unknown(job)
        found.store.recover(hold=hold, now=found.clock.utcnow())
        picked, mark = await asyncio.to_thread(_pick, found, count, key)
        if not picked:
            raise SpecError(
                f"{job.path.name}: --key {key}: no item of {found.source.name} has this key"
            )
        progress = Progress()
        await _take_in(found, picked, mark, progress)
        return await _send(found, picked, progress, on_text)


def _pick(found: Opened, count: int, key: str | None) -> tuple[list[Finding], str | None]:
    """The items to try, and the mark that lets a first run go on after them."""
    job = found.job
    is_fresh = found.store.reader.is_empty()
    reader = Reader(found.store.path)
    scan = Scan(
        found.source,
        key_columns=job.input.key,
        reader=reader,
        steps=job.step_names,
        comparison=comparison_with_today(job, reader),
        skip_bad_rows=True,
    )
    picked: list[Finding] = []
    has_gaps = False
    chunks = scan.chunks()
    try:
        for chunk in chunks:
            has_gaps = has_gaps or bool(chunk.bad_rows)
            picked += _wanted(chunk, count - len(picked), key)
            if picked if key is not None else len(picked) >= count:
                break
    finally:
        chunks.close()
        reader.close()
    if not is_fresh or has_gaps or key is not None:
        return picked, None
    selection = Selection(stamp_of(job, found.source), is_first=True)
    return picked, selection.mark(records=len(picked), done=False)


def _wanted(chunk: ScanChunk, count: int, key: str | None) -> list[Finding]:
    if key is None:
        return chunk.findings[:count]
    return [finding for finding in chunk.findings if finding.item.key == key]


async def _take_in(
    found: Opened, picked: list[Finding], mark: str | None, progress: Progress
) -> None:
    reader = Reader(found.store.path)
    scan = Scan(found.source, key_columns=(), reader=reader, steps=found.job.step_names)
    reader.close()
    selection = Selection(None, is_first=False, retain_rows=found.job.retain.items)
    intake = Intake(
        scan, selection, store=found.store, steps=found.job.step_names, progress=progress
    )
    await intake.pick(picked)
    if mark is not None:
        await found.store.ledger.set_meta(SCAN_MARK, mark)


async def _send(
    found: Opened,
    picked: list[Finding],
    progress: Progress,
    on_text: Callable[[str, str], None] | None,
) -> Trial:
    reader, names = found.store.reader, found.job.step_names
    stored = reader.stored([finding.item.key for finding in picked], *names)
    sent = {finding.item.key for finding in picked if finding.change in SENT}
    before = {key: _cost(reader, key, names) for key in stored}
    progress.to_send = len(sent)
    items = frozenset(stored[key].item_id for key in sent)
    launch = Launch(found, run_for_trial(found), progress, sends=len(items), on_text=on_text)
    end = await launch.work_on(items)
    code = launch.end(end)
    after = reader.stored([finding.item.key for finding in picked], *names)
    tried = []
    for finding in picked:
        row = reader.item(finding.item.key, *names)
        assert row is not None
        cost = row.lineage.cost_usd - before[row.key]
        prompts = shown_prompts(found.job, reader, stored[row.key].item_id, finding.item.fields)
        skipped = frozenset(
            name for name, step in after[row.key].steps.items() if step.state is State.SKIPPED
        )
        tried.append(TriedItem(prompts, row, row.key in sent, cost, skipped))
    total = await asyncio.to_thread(_count, found)
    return Trial(tried, end, code, total, all(step.rates.is_free for step in found.steps))


def run_for_trial(found: Opened) -> Run:
    """The run that is going on, or the next; a trial never accepts a changed spec for all items."""
    last = found.store.reader.last_run()
    if last is not None and last.ended_at is None:
        return last
    spec = spec_identity(found.job) if last is None else last.spec
    return found.store.begin_run(spec=spec, budget=found.job.budget_usd, now=found.clock.utcnow())


def _cost(reader: Reader, key: str, names: tuple[str, ...]) -> Decimal:
    row = reader.item(key, *names)
    return NO_COST if row is None else row.lineage.cost_usd


def shown_prompts(
    job: Job, reader: Reader, item_id: int, fields: Mapping[str, Any]
) -> tuple[tuple[str, Rendered], ...]:
    """What the item's steps ask, as far as their earlier results are there, with their names."""
    results = reader.results_of(item_id, job.step_names)
    shown: list[tuple[str, Rendered]] = []
    for step in job.item_steps:
        known = {name: results.get(name) for name in job.step_names}
        try:
            asked = asking_of(job, step).of(fields, known)
        except TemplateError:
            break
        shown += ((step.name, rendered) for rendered in asked.requests)
        if step.name not in results and not asked.is_skipped:
            break
    return tuple(shown)


def _count(found: Opened) -> int:
    return sum(len(chunk) for chunk in found.source.chunks())
