"""Every list of a report adds up to the ledger, whatever is in it."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.domain import Attempt, Outcome, Settlement, State, Usage
from batchai.pricing import from_pico
from batchai.reports.lines import day_lines, model_lines, outcome_lines, run_lines
from batchai.reports.tally import Tally, tally
from batchai.store import Store, aggregates, open_reader
from batchai.store.ledger import StepEnd

_START = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
_TOKENS = st.integers(0, 10**6)
_ENDED = sorted(set(Outcome) - {Outcome.UNRENDERABLE, Outcome.OVER_LIMIT, Outcome.UNKNOWN}, key=str)


@dataclass(frozen=True)
class Sent:
    """One attempt as it is written; outcome None: it stays open."""

    item: int
    model: str
    resolved: str | None
    outcome: Outcome | None
    minutes: int
    cost_pico: int
    unconfirmed_pico: int
    usage: Usage


_USAGE = st.builds(
    lambda output, reasoning, **rest: Usage(
        **rest, output=output, reasoning=min(output, reasoning)
    ),
    uncached_input=_TOKENS,
    cache_read=_TOKENS,
    cache_write_5m=_TOKENS,
    cache_write_1h=_TOKENS,
    output=_TOKENS,
    reasoning=_TOKENS,
)
_SENT = st.builds(
    Sent,
    item=st.integers(1, 4),
    model=st.sampled_from(["openai/a", "anthropic/b"]),
    resolved=st.sampled_from([None, "a-1", "a-2"]),
    outcome=st.sampled_from([None, *_ENDED]),
    minutes=st.integers(0, 600),
    cost_pico=st.integers(0, 10**13),
    unconfirmed_pico=st.integers(0, 10**12),
    usage=_USAGE,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(_SENT, max_size=12), min_size=1, max_size=3))
def test_models_outcomes_runs_and_days_add_up_to_the_ledger(runs: list[list[Sent]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ".batchai" / "job.db"
        asyncio.run(_write(path, runs))
        reader = open_reader(path)
        with reader.snapshot():
            cells = list(aggregates.attempt_cells(reader))
            stored, launches = reader.runs(), reader.launches()
            at_risk = reader.open_attempts()
        reader.close()

    total = tally(cells)
    closed = [sent for run in runs for sent in run if sent.outcome is not None]
    assert total == _expected(closed, _retries(runs))
    by_run = run_lines(cells, runs=stored, launches=launches, working_until=None)
    for lines in (model_lines(cells, {}), outcome_lines(cells), day_lines(cells), by_run):
        assert _sum([line.tally for line in lines]) == total
    for run, line in zip(stored, by_run, strict=True):
        counted = (line.tally.attempts, line.tally.cost_usd, line.tally.unconfirmed_usd)
        assert counted == (run.attempts, run.cost, run.unconfirmed)
    for model in model_lines(cells, {}):
        assert sum(found.attempts for found in model.resolved) == model.tally.attempts
        assert sum(found.cost_usd for found in model.resolved) == model.tally.cost_usd
    days = Counter((_START + timedelta(minutes=sent.minutes)).date() for sent in closed)
    assert {line.day: line.tally.attempts for line in day_lines(cells)} == days
    assert at_risk[0] == sum(map(len, runs)) - len(closed)


def _retries(runs: Sequence[Sequence[Sent]]) -> list[Sent]:
    """Closed attempts of items that had an earlier one in the same run, open ones too."""
    found = []
    for run in runs:
        seen: set[int] = set()
        for sent in run:
            if sent.item in seen and sent.outcome is not None:
                found.append(sent)
            seen.add(sent.item)
    return found


def _expected(closed: Sequence[Sent], retries: Sequence[Sent]) -> Tally:
    succeeded = [sent for sent in closed if sent.outcome is Outcome.SUCCEEDED]
    failed = [s for s in closed if s.outcome not in {Outcome.SUCCEEDED, Outcome.DOUBTED}]
    cost = sum(sent.cost_pico for sent in closed)
    per_success = Decimal(cost).scaleb(-12) / len(succeeded) if succeeded else None
    return Tally(
        attempts=len(closed),
        succeeded=len(succeeded),
        failed=len(failed),
        retries=len(retries),
        tokens=_usage([sent.usage for sent in closed]),
        cost_usd=from_pico(cost),
        unconfirmed_usd=from_pico(sum(sent.unconfirmed_pico for sent in closed)),
        failed_cost_usd=from_pico(sum(sent.cost_pico for sent in failed)),
        retries_cost_usd=from_pico(sum(sent.cost_pico for sent in retries)),
        cost_per_success_usd=None
        if per_success is None
        else per_success.quantize(Decimal("1e-12")),
    )


def _sum(parts: Sequence[Tally]) -> Tally:
    succeeded = sum(part.succeeded for part in parts)
    cost = sum((part.cost_usd for part in parts), Decimal(0))
    return Tally(
        attempts=sum(part.attempts for part in parts),
        succeeded=succeeded,
        failed=sum(part.failed for part in parts),
        retries=sum(part.retries for part in parts),
        tokens=_usage([part.tokens for part in parts]),
        cost_usd=cost,
        unconfirmed_usd=sum((part.unconfirmed_usd for part in parts), Decimal(0)),
        failed_cost_usd=sum((part.failed_cost_usd for part in parts), Decimal(0)),
        retries_cost_usd=sum((part.retries_cost_usd for part in parts), Decimal(0)),
        cost_per_success_usd=(cost / succeeded).quantize(Decimal("1e-12")) if succeeded else None,
    )


def _usage(parts: Sequence[Usage]) -> Usage:
    return Usage(
        uncached_input=sum(part.uncached_input for part in parts),
        cache_read=sum(part.cache_read for part in parts),
        cache_write_5m=sum(part.cache_write_5m for part in parts),
        cache_write_1h=sum(part.cache_write_1h for part in parts),
        output=sum(part.output for part in parts),
        reasoning=sum(part.reasoning for part in parts),
    )


async def _write(path: Path, runs: Sequence[Sequence[Sent]]) -> None:
    """The attempts through the real writer, a launch a run; what a run left open stays so."""
    store = Store(path, job_path=path.parent.parent / "job.yaml")
    try:
        items = [("add_item", (n, f"k{n}", n, "{}")) for n in range(1, 5)]
        steps = [("add_step", (n, "main")) for n in range(1, 5)]
        await store.ledger.absorb([*items, *steps])
        numbers: Counter[int] = Counter()
        for number, run in enumerate(runs):
            begun = store.begin_run(spec={"n": number}, budget=None, now=_START)
            launch = store.begin_launch(begun.id, now=_START)
            async with asyncio.TaskGroup() as tasks:
                for sent in run:
                    numbers[sent.item] += 1
                    attempt = _attempt(store, sent, (numbers[sent.item], begun.id, launch))
                    tasks.create_task(_record(store, attempt, sent))
            end = _START + timedelta(hours=12)
            store.end_launch(launch, exit_code=0, reason="finished", now=end)
    finally:
        await store.close()


def _attempt(store: Store, sent: Sent, place: tuple[int, int, int]) -> Attempt:
    number, run, launch = place
    return Attempt(
        id=store.ledger.new_attempt_id(),
        item_id=sent.item,
        step="main",
        number=number,
        run_id=run,
        launch_id=launch,
        model=sent.model,
        max_tokens=64,
        input_tokens=10,
        sent_at=_START + timedelta(minutes=sent.minutes),
        worst_cost=Decimal("0.01"),
    )


async def _record(store: Store, attempt: Attempt, sent: Sent) -> None:
    await store.ledger.open_attempt(attempt)
    if sent.outcome is None:
        return
    settlement = Settlement(
        attempt_id=attempt.id,
        outcome=sent.outcome,
        closed_at=attempt.sent_at + timedelta(seconds=1),
        usage=sent.usage,
        cost=from_pico(sent.cost_pico),
        unconfirmed_cost=from_pico(sent.unconfirmed_pico),
        latency_seconds=1.0,
        model=sent.resolved,
    )
    end = StepEnd(State.SUCCEEDED, b"f", "succeeded") if sent.outcome == "succeeded" else None
    await store.ledger.close_attempt(attempt, settlement, counts=True, end=end)
