"""One attempt of one item: ledger, provider, validation, price, verdict, ledger."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from batchai.clock import Clock
from batchai.domain import NO_COST, Attempt, Outcome, Reply, Request, Settlement, State, Usage
from batchai.engine import policy
from batchai.engine.outage import Outage
from batchai.engine.policy import Shape, Tried, Verdict
from batchai.engine.step import PreparedStep, deadline_seconds, stream_deadlines
from batchai.errors import PricingError
from batchai.limits import Ask, Permit
from batchai.prompts import Rendered
from batchai.store import Ledger
from batchai.store.ledger import StepEnd

log = logging.getLogger(__name__)

_NO_USAGE = Usage()
_MOST_TOKENS = 10**9  # of one request: a usage beyond it is nonsense


@dataclass(slots=True)
class Work:
    """An item on its way through a step; `history` grows by one with each attempt."""

    item_id: int
    key: str
    rendered: Rendered
    fingerprint: bytes
    number: int  # of the next attempt
    history: list[Tried] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to leave, as the gate is asked for it."""

    request: Request
    body: bytes
    ask: Ask
    estimate: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of an attempt."""

    work: Work
    settlement: Settlement
    verdict: Verdict
    result: object


@dataclass(frozen=True, slots=True)
class Origin:
    """Which run and launch attempts belong to."""

    run_id: int
    launch_id: int


class Worker:
    """Does attempts for one launch and step. Raises StoreError when the ledger cannot be written.

    hold: lets nothing leave for so many seconds, then maybe one request at a time. on_text: is told
    an item's key and each piece of its answer as it is written; all requests are streamed then.
    """

    def __init__(
        self,
        step: PreparedStep,
        *,
        ledger: Ledger,
        clock: Clock,
        outage: Outage,
        hold: Callable[[float, bool], None],
        origin: Origin,
        on_text: Callable[[str, str], None] | None = None,
    ) -> None:
        self._step = step
        self._ledger = ledger
        self._clock = clock
        self._outage = outage
        self._hold = hold
        self._origin = origin
        self._on_text = on_text

    def prepare(self, work: Work) -> Prepared:
        """The next request of an item."""
        step = self._step
        shape = self._shape(work)
        request = step.request(work.rendered, shape, is_watched=self._on_text is not None)
        body = step.provider.encode(request)
        ask, estimate = step.ask(request, body, self._clock)
        return Prepared(request, body, ask, estimate)

    async def attempt(self, work: Work, prepared: Prepared, permit: Permit) -> Ended:
        """Send one request and record it; the permit is settled after the commit, not released."""
        clock = self._clock
        attempt = self._open(work, prepared)
        await self._ledger.open_attempt(attempt)
        started = clock.monotonic()
        reply, result = await self._exchange(work, prepared)
        if (held := self._outage.take(reply)) is not None:
            self._hold(*held)  # at once: the commit takes its time
        if reply.limits is not None:
            permit.heed(reply.limits)
        reply, cost = self._priced(reply)
        settlement = self._settlement(attempt, reply, cost, clock.monotonic() - started)
        work.history.append(self._tried(reply, attempt.max_tokens))
        work.number += 1
        verdict = policy.verdict(
            work.history, policies=self._step.policies, retries=self._step.retries
        )
        await self._ledger.close_attempt(
            attempt,
            settlement,
            counts=work.history[-1].is_counted,
            end=self._end(work, reply, verdict, result),
        )
        self._settle(permit, prepared, reply, settlement)
        return Ended(work, settlement, verdict, result)

    async def settle_unsent(self, work: Work, outcome: Outcome, detail: str) -> None:
        """Record an item that fails without an attempt."""
        await self._ledger.settle_unsent(
            work.item_id,
            self._step.name,
            StepEnd(
                State.FAILED,
                work.fingerprint,
                outcome.value,
                detail,
                forget_row=not self._step.retain.items,
            ),
            run_id=self._origin.run_id,
            at=self._clock.utcnow(),
        )

    def _shape(self, work: Work) -> Shape:
        return policy.next_shape(
            work.history, max_tokens=self._step.max_tokens, policies=self._step.policies
        )

    def _open(self, work: Work, prepared: Prepared) -> Attempt:
        return Attempt(
            id=self._ledger.new_attempt_id(),
            item_id=work.item_id,
            step=self._step.name,
            number=work.number,
            run_id=self._origin.run_id,
            launch_id=self._origin.launch_id,
            model=self._step.model,
            max_tokens=prepared.request.max_tokens,
            input_tokens=prepared.estimate,
            sent_at=self._clock.utcnow(),
            worst_cost=prepared.ask.worst_cost,
        )

    async def _exchange(self, work: Work, prepared: Prepared) -> tuple[Reply, object]:
        """Reply and result; a defect of ours is one attempt's failure, not the pool's."""
        try:
            return self._judge(await self._send(work, prepared))
        except Exception as error:
            log.exception("an attempt failed inside batchai", extra={"item": work.key})
            detail = f"batchai itself failed ({type(error).__name__}); please report it"
            return Reply(Outcome.MALFORMED, may_be_billed=True, detail=detail), None

    async def _send(self, work: Work, prepared: Prepared) -> Reply:
        provider, max_tokens = self._step.provider, prepared.request.max_tokens
        if prepared.request.is_streamed:
            on_text = _unwatched if self._on_text is None else partial(self._on_text, work.key)
            deadlines = stream_deadlines(max_tokens)
            return await provider.stream(prepared.body, deadlines=deadlines, on_text=on_text)
        return await provider.send(prepared.body, deadline_seconds=deadline_seconds(max_tokens))

    def _judge(self, reply: Reply) -> tuple[Reply, object]:
        """A normal stop is a success only when its answer is valid."""
        if reply.outcome is not Outcome.SUCCEEDED:
            return reply, None
        reading = self._step.answers.read(reply.text)
        if reading.problem is not None:
            return replace(reply, outcome=Outcome.INVALID, detail=reading.problem), None
        return reply, reading.value

    def _priced(self, reply: Reply) -> tuple[Reply, Decimal]:
        """Reply and cost; a usage that makes no sense is none, so that the worst case is charged.

        An error here would leave the attempt open, to be sent and paid again.
        """
        usage = reply.usage
        if usage is None:
            return reply, NO_COST
        try:
            if usage.input + usage.output <= _MOST_TOKENS:
                return reply, self._step.cost(usage, self._clock)
            problem = f"usage: {usage.input + usage.output:,} tokens in one request"
        except PricingError as error:
            problem = str(error)
        log.warning("%s; its worst case counts as unconfirmed", problem)
        return replace(reply, usage=None, may_be_billed=True), NO_COST

    def _settlement(
        self, attempt: Attempt, reply: Reply, cost: Decimal, latency: float
    ) -> Settlement:
        usage = reply.usage
        keeps_answer = self._step.retain.answers and reply.outcome is not Outcome.SUCCEEDED
        return Settlement(
            attempt_id=attempt.id,
            outcome=reply.outcome,
            closed_at=self._clock.utcnow(),
            usage=usage or _NO_USAGE,
            cost=cost,
            unconfirmed_cost=attempt.worst_cost
            if usage is None and reply.may_be_billed
            else NO_COST,
            latency_seconds=latency,
            model=reply.model,
            status=reply.status,
            request_id=reply.request_id,
            detail=reply.detail,
            answer=reply.text if keeps_answer and reply.text else None,
            saved=NO_COST if usage is None else self._step.saved(usage, self._clock),
        )

    def _tried(self, reply: Reply, max_tokens: int) -> Tried:
        reached = reply.may_be_billed or reply.status is not None
        return Tried(
            outcome=reply.outcome,
            max_tokens=max_tokens,
            detail=reply.detail,
            answer=reply.text if reply.outcome is Outcome.INVALID else None,  # for feedback
            is_counted=policy.is_counted(reply.outcome, reached=reached)
            and not self._outage.explains(reply.outcome),
        )

    def _end(self, work: Work, reply: Reply, verdict: Verdict, result: object) -> StepEnd | None:
        outcome = reply.outcome.value
        forget = not self._step.retain.items
        match verdict:
            case policy.Succeed():
                return StepEnd(
                    State.SUCCEEDED, work.fingerprint, outcome, result=result, forget_row=forget
                )
            case policy.Fix(values=values):
                return StepEnd(
                    State.SUCCEEDED,
                    work.fingerprint,
                    outcome,
                    error=f"fixed values of the job: {reply.detail}",
                    result=values,
                    forget_row=forget,
                )
            case policy.Fail():
                return StepEnd(
                    State.FAILED, work.fingerprint, outcome, error=reply.detail, forget_row=forget
                )
            case policy.Again() | policy.Stop():
                return None

    def _settle(
        self, permit: Permit, prepared: Prepared, reply: Reply, settlement: Settlement
    ) -> None:
        """What was really used goes into the windows of the reservation, and into the budget."""
        usage = reply.usage
        input_tokens, output_tokens = 0, 0
        if usage is not None:
            input_tokens = self._step.provider.counted_input_tokens(usage)
            output_tokens = usage.output
            self._step.calibration.observe(estimate=prepared.estimate, actual=usage.input)
        elif reply.may_be_billed:
            input_tokens, output_tokens = prepared.ask.input_tokens, prepared.ask.output_tokens
        permit.settle(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=settlement.cost,
            unconfirmed=settlement.unconfirmed_cost,
        )


def _unwatched(_text: str) -> None:
    """Nobody watches the answer being written."""
