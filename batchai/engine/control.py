"""Steering a launch from another terminal: what is said holds at once, and across resumes."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchai.engine.runner import Reason, Runner
from batchai.limits import Budget, Gate
from batchai.spec.models import Job
from batchai.spec.tuning import tuned
from batchai.store.history import Action

Record = Callable[[Action, Mapping[str, Any], Decimal | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Live:
    """What only the launch itself knows. waits_for: what keeps the next request back, in words.

    slots: requests that may be in flight now; wait_seconds: at least, None if an event decides.
    """

    pid: int
    is_paused: bool
    is_stopping: bool
    in_flight: int
    slots: int
    waits_for: str | None
    wait_seconds: float | None
    budget_usd: Decimal | None


class Control:
    """Pauses, tunes and stops a launch; each is in the run's history when the call returns.

    own: the job as it was loaded, without what the run was tuned to; job: with it. record: tells
    and writes down what was said, with the budget that holds from now on.
    Raises SpecError for values that cannot be, StoreError when the history cannot be written.
    """

    def __init__(
        self,
        runner: Runner,
        gates: Sequence[Gate],
        *,
        own: Job,
        job: Job,
        budget: Budget,
        record: Record,
    ) -> None:
        self._runner = runner
        self._gates = gates
        self._own = own
        self._job = job
        self._budget = budget
        self._record = record
        self._is_paused = False

    def follow(self, runner: Runner, gates: Sequence[Gate]) -> None:
        """The launch goes on with another pool, as it does to reduce results."""
        for gate in gates:
            if gate not in self._gates:
                gate.tune(self._job.limits)
                if self._is_paused:
                    gate.pause()
        self._runner, self._gates = runner, gates

    @property
    def is_paused(self) -> bool:
        """Whether nothing is sent until somebody says `resume`."""
        return self._is_paused

    def live(self) -> Live:
        """The launch at this moment."""
        waits = [gate.next_admission_seconds for gate in self._gates]
        return Live(
            pid=os.getpid(),
            is_paused=self._is_paused,
            is_stopping=self._runner.stopped is not None,
            in_flight=self._runner.in_flight,
            slots=sum(gate.concurrency for gate in self._gates),
            waits_for=self._runner.waits_for,
            wait_seconds=None if None in waits else max(filter(None, waits), default=0.0),
            budget_usd=self._budget.limit,
        )

    async def pause(self) -> None:
        """Send nothing more; what is in flight is finished and recorded."""
        if not self._is_paused:
            self._is_paused = True
            for gate in self._gates:
                gate.pause()
        await self._note(Action.PAUSED)

    async def resume(self) -> None:
        """Lift a pause."""
        if self._is_paused:
            self._is_paused = False
            for gate in self._gates:
                gate.resume()
        await self._note(Action.RESUMED)

    async def tune(self, values: Mapping[str, Any]) -> None:
        """Change limits and budget; without values, the job's own hold again."""
        job = self._job = tuned(self._job, values) if values else self._own
        for gate in self._gates:
            gate.tune(job.limits)
        self._budget.limit = job.budget_usd
        await self._note(Action.TUNED, values)

    async def stop(self, *, now: bool = False) -> None:
        """Drain; or, `now`, leave at once: what is in flight counts as unknown."""
        self._runner.stop(Reason.STOPPED)
        if now:
            self._runner.abandon()
        await self._note(Action.STOPPED, {"now": True} if now else {})

    async def _note(self, action: Action, said: Mapping[str, Any] = {}) -> None:
        await self._record(action, said, self._job.budget_usd)
