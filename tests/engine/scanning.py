"""Scans over rows of the test's own, and what becomes of their items in a store."""

import itertools
from collections.abc import Iterator
from typing import Any

from batchai.domain import NO_COST, Outcome, Settlement, State, Usage
from batchai.engine.intake import SCAN_MARK, Intake, Selection
from batchai.engine.progress import Progress
from batchai.engine.scan import Change, Comparison, Finding, Scan, StepComparison
from batchai.prompts import Asking, Prompts
from batchai.sources import open_items
from batchai.spec.models import Input, Model, Prompt, Step
from batchai.store import Reader, Store
from batchai.store.ledger import StepEnd
from batchai.store.values import from_json
from tests.store.books import STEP, an_attempt
from tests.virtual import EPOCH

Rows = list[dict[str, Any]]


def prompts(user: str = "Sort: {{ item.text }}", identity: Any = "a model") -> Prompts:
    return Prompts(Prompt(user=user), variables={}, identity=identity, place="job.yaml")


def compared(made_by: Prompts, *, keep: bool = False, **options: Any) -> Comparison:
    """A comparison of the one step with what these prompts ask."""
    options = {k: asking(v) if isinstance(v, Prompts) else v for k, v in options.items()}
    return Comparison({STEP: StepComparison(asking(made_by), **options)}, keep=keep)


def asking(made_by: Prompts) -> Asking:
    step = Step(model=Model(name="openai/m"), prompt=Prompt(user="x"))
    return Asking(step, made_by, place="job.yaml")


def rows(*texts: str) -> Rows:
    return [{"id": f"k{n}", "text": text} for n, text in enumerate(texts)]


def a_scan(
    items: Rows | Iterator[dict[str, Any]], reader: Reader | None = None, **options: Any
) -> Scan:
    return Scan(
        open_items(items, Input()),
        reader=reader,
        steps=(STEP,),
        **{"key_columns": ("id",), **options},
    )


def findings(scan: Scan) -> list[Finding]:
    return [finding for chunk in scan.chunks() for finding in chunk.findings]


async def take_in(store: Store, scan: Scan, *, skip: int = 0, chunks: int = 10**9) -> int:
    """Take in a scan, or so many chunks of it; returns how many records are in then."""
    selection, taken = Selection("stamp", is_first=True), itertools.count(1)
    intake = Intake(scan, selection, store=store, steps=(STEP,), progress=Progress(), skip=skip)
    done = [False]

    def refresh() -> None:
        done[0] = next(taken) >= chunks

    await intake.run(refresh=refresh, is_over=lambda: done[0])
    return int(from_json(store.reader.meta(SCAN_MARK) or "")["records"])


async def settle(
    store: Store,
    key: str,
    made_by: Prompts,
    *,
    state: State = State.SUCCEEDED,
    outcome: str = "x",
    result: Any = None,
) -> None:
    """Bring an item to an end, under these prompts."""
    stored = store.reader.stored([key], STEP)[key]
    fields = store.reader.whole_item(stored.item_id).row or {}
    attempt = an_attempt(store, stored.item_id)
    await store.ledger.open_attempt(attempt)
    end = StepEnd(state, made_by.fingerprint(made_by.render(fields)), outcome, result=result)
    done = Settlement(attempt.id, Outcome.SUCCEEDED, closed_at=EPOCH, usage=Usage(), cost=NO_COST)
    await store.ledger.close_attempt(attempt, done, counts=True, end=end)


async def changes(
    reader: Reader, items: Rows, comparison: Comparison | None = None
) -> list[Change]:
    found = findings(a_scan(items, reader, comparison=comparison))
    return [finding.change for finding in found]
