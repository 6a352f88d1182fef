"""The ledger against a record of what was done to it, through crashes, full disks and recoveries.

The record is a plain list of attempts. Whatever happens, the sums of the store's runs equal the
Decimal sums over the record, and every attempt is open, closed or unknown.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batchai.domain import NO_COST, Attempt, Outcome, Settlement, State, Usage
from batchai.errors import StoreError
from batchai.pricing import from_pico
from batchai.store import Store
from batchai.store.ledger import StepEnd
from tests.store.books import FINGERPRINT, STEP, WORST, add_items, an_attempt, full_disk, open_store
from tests.virtual import EPOCH

ITEMS = 4
costs = st.integers(0, 10**15).map(from_pico)


@dataclass
class Known:
    """An attempt as the record has it; outcome None while it is open."""

    attempt: Attempt
    outcome: Outcome | None = None
    cost: Decimal = NO_COST
    unconfirmed: Decimal = NO_COST


class LedgerMachine(RuleBasedStateMachine):
    """Opens, closes, kills, fills the disk, recovers."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.Runner()
        self.known: list[Known] = []
        self.states: dict[int, State] = {}
        self.is_broken = False
        self.open_store()
        self.run_id = self.store.begin_run(spec={}, budget=None, now=EPOCH).id
        self.store.begin_launch(self.run_id, now=EPOCH)
        self.states = dict.fromkeys(self.do(add_items(self.store, ITEMS)), State.PENDING)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.close())
            self.loop.close()
            self.folder.cleanup()

    def open_store(self) -> None:
        async def opened() -> Store:
            return open_store(Path(self.folder.name))

        self.store = self.do(opened())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work)

    def in_flight(self) -> list[Known]:
        return [known for known in self.known if known.outcome is None]

    @rule(item=st.integers(0, ITEMS - 1), fills_disk=st.booleans())
    @precondition(lambda self: not self.is_broken)
    def open(self, item: int, fills_disk: bool) -> None:
        item_id = list(self.states)[item]
        busy = any(known.attempt.item_id == item_id for known in self.in_flight())
        if busy or self.states[item_id] is not State.PENDING:
            return
        number = 1 + sum(known.attempt.item_id == item_id for known in self.known)
        attempt = an_attempt(self.store, item_id, run_id=self.run_id, number=number)
        with full_disk(self.store) if fills_disk else nullcontext():
            try:
                self.do(self.store.ledger.open_attempt(attempt))
            except StoreError:
                self.is_broken = True  # so it must not be sent
            else:
                self.known.append(Known(attempt))

    @rule(
        data=st.data(),
        cost=costs,
        unconfirmed=costs,
        ends=st.sampled_from([None, State.SUCCEEDED, State.FAILED]),
        fills_disk=st.booleans(),
    )
    @precondition(lambda self: self.in_flight())
    def close(
        self,
        data: st.DataObject,
        cost: Decimal,
        unconfirmed: Decimal,
        ends: State | None,
        fills_disk: bool,
    ) -> None:
        known = data.draw(st.sampled_from(self.in_flight()))
        known.outcome, known.cost, known.unconfirmed = Outcome.SUCCEEDED, cost, unconfirmed
        settlement = Settlement(
            known.attempt.id,
            known.outcome,
            closed_at=EPOCH,
            usage=Usage(),
            cost=cost,
            unconfirmed_cost=unconfirmed,
        )
        end = None if ends is None else StepEnd(ends, FINGERPRINT, "succeeded", result=1)
        with full_disk(self.store) if fills_disk else nullcontext():
            try:
                self.do(
                    self.store.ledger.close_attempt(known.attempt, settlement, counts=True, end=end)
                )
            except StoreError:
                self.is_broken = True  # and the answer is in the spool
        if ends is not None:
            self.states[known.attempt.item_id] = ends

    @rule(holds=st.booleans(), is_killed_at_intake=st.booleans())
    def restart(self, holds: bool, is_killed_at_intake: bool) -> None:
        self.do(self.store.close())
        spool = self.store.path.with_suffix(".spool")
        saved = spool.read_bytes() if spool.exists() else None
        self.open_store()
        if saved is not None and is_killed_at_intake:
            self.do(self.store.close())
            spool.write_bytes(saved)
            self.open_store()
        self.is_broken = False
        found = self.store.recover(hold=holds, now=EPOCH)
        assert found.unknown_attempts == len(self.in_flight())
        for known in self.in_flight():
            known.outcome, known.unconfirmed = Outcome.UNKNOWN, WORST
            self.states[known.attempt.item_id] = State.UNKNOWN if holds else State.PENDING
        assert self.store.recover(hold=holds, now=EPOCH).unknown_attempts == 0

    @rule()
    @precondition(lambda self: not self.is_broken)
    def retry(self) -> None:
        self.store.retry(outcomes=frozenset({"unknown"}))
        for item_id, state in self.states.items():
            if state is State.UNKNOWN:
                self.states[item_id] = State.PENDING

    @invariant()
    def the_store_says_what_was_done(self) -> None:
        if self.is_broken:  # the spool has a part of it
            return
        reader = self.store.reader
        run = reader.last_run()
        assert run is not None
        closed = [known for known in self.known if known.outcome is not None]
        assert run.attempts == len(closed)
        assert run.cost == sum((known.cost for known in closed), NO_COST)
        assert run.unconfirmed == sum((known.unconfirmed for known in closed), NO_COST)
        assert reader.open_attempts() == (len(self.in_flight()), WORST * len(self.in_flight()))
        for row, (item_id, state) in zip(reader.results(STEP), self.states.items(), strict=True):
            own = [known for known in self.known if known.attempt.item_id == item_id]
            assert row.state is state
            assert row.lineage.cost_usd == sum((known.cost for known in own), NO_COST)
            assert row.lineage.attempts == sum(known.outcome is not None for known in own)
            assert [found.outcome for found in reader.attempts_of(item_id, STEP)] == [
                known.outcome for known in own
            ]


LedgerMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, derandomize=True
)
TestLedgerProperties = LedgerMachine.TestCase
