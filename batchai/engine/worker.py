"""One attempt of one item: ledger, provider, validation, price, verdict, ledger."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from batchai.clock import Clock
from batchai.domain import (
    NO_COST,
    Attempt,
    Outcome,
    Purpose,
    Reply,
    Request,
    Settlement,
    State,
    Usage,
)
from batchai.engine import policy
from batchai.engine.flow import Flow
from batchai.engine.outage import Outage
from batchai.engine.policy import Shape, Tried, Verdict
from batchai.engine.splitting import division
from batchai.engine.step import PreparedStep, deadline_seconds, stream_deadlines
from batchai.errors import PricingError
from batchai.limits import Ask, Permit
from batchai.prompts import Excerpt, Rendered, Shortened, shortened
from batchai.spec.models import Split
from batchai.store import Ledger, Reader
from batchai.store.ledger import StepEnd
from batchai.store.rows import AttemptRow
from batchai.store.twins import Twin
from batchai.store.values import to_json

log = logging.getLogger(__name__)

_NO_USAGE = Usage()
_REMEMBERED = {Outcome.INVALID, Outcome.DOUBTED}  # answers: as feedback, or as a last resort
_MOST_TOKENS = 10**9  # of one request: a usage beyond it is nonsense


@dataclass(slots=True)
class Work:
    """A request on its way; `history` grows by one with each attempt.

    part: of the item's step, 0 where the step is this one request. flow: the item's way that it is
    a piece of. number: of the next attempt.
    """

    flow: Flow
    part: int
    rendered: Rendered
    fingerprint: bytes
    number: int
    tried: int = 0  # attempts of earlier launches that are not in the history yet
    excerpt: Excerpt | None = None  # what it holds of a text that was split
    was_split: bool = False  # an earlier launch found it too long, and has asked its parts
    history: list[Tried] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The item's key."""
        return self.flow.item.key

    @property
    def where(self) -> tuple[int, int]:
        """Item and part."""
        return self.flow.item.item_id, self.part

    def recall(self, reader: Reader, step: PreparedStep) -> None:
        """Take up the attempts that still count, so that it goes on where it was.

        That it is too long counts in later runs too: it would be again.
        """
        rows = reader.attempts_of(self.flow.item.item_id, step.name, self.part)
        if self.was_split and rows and rows[-1].outcome is Outcome.TOO_LONG:
            self.tried = max(self.tried, 1)
        for row in reversed(rows):
            if row.outcome is None or self.tried == 0:
                break
            if row.outcome is Outcome.DOUBTED and row.answer is None:
                break  # it was not retained: it is asked for anew
            is_counted = policy.is_counted(row.outcome, reached=True)
            self.tried -= is_counted
            self.history.insert(
                0,
                Tried(
                    row.outcome,
                    row.max_tokens,
                    row.detail,
                    row.answer,
                    is_counted,
                    _asker(row, step),
                    row.model,
                ),
            )
        if self.history and self.history[0].asker == step.policies.larger:
            self.history.clear()  # without what was doubted
        self.tried = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to leave, as the gate is asked for it."""

    request: Request
    body: bytes
    ask: Ask
    estimate: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of an attempt. end: of the step or its part, None where it goes on."""

    work: Work
    settlement: Settlement
    verdict: Verdict
    end: StepEnd | None


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
        self.step = step
        self._ledger = ledger
        self._clock = clock
        self._outage = outage
        self._hold = hold
        self._origin = origin
        self._on_text = on_text

    def prepare(self, work: Work) -> Prepared:
        """The next request of an item."""
        step = self.step
        shape = self._shape(work)
        cut = self._shortened(work, shape)
        rendered = work.rendered if cut is None else cut.rendered
        request = step.request(rendered, shape, is_watched=self._on_text is not None)
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
        asked_seconds = clock.monotonic() - started
        if (held := self._outage.take(reply, asked_seconds=asked_seconds)) is not None:
            self._hold(*held)  # at once: the commit takes its time
        if reply.limits is not None:
            permit.heed(reply.limits)
        reply, cost = self._priced(reply)
        settlement = self._settlement(attempt, reply, cost, clock.monotonic() - started)
        work.history.append(self._tried(reply, attempt.max_tokens))
        work.number += 1
        verdict = policy.verdict(
            work.history, policies=self.step.policies, retries=self.step.retries
        )
        end = self._end(work, reply, verdict, result)
        counts = work.history[-1].is_counted
        await self._ledger.close_attempt(attempt, settlement, counts=counts, end=end)
        self._settle(permit, prepared, reply, settlement)
        return Ended(work, settlement, verdict, end)

    async def fail_unsent(
        self, item_id: int, part: int, fingerprint: bytes, outcome: str, detail: str
    ) -> None:
        """Record what fails without an attempt of its own."""
        await self._settle_unsent(item_id, part, self._failed(fingerprint, outcome, detail, part))

    async def skip(self, item_id: int, fingerprint: bytes) -> None:
        """Record that the step is not to be done for the item."""
        await self._settle_unsent(item_id, 0, self._done(State.SKIPPED, fingerprint, ""))

    async def gather(
        self, item_id: int, fingerprint: bytes, result: object, noted: tuple[str, str]
    ) -> None:
        """Record what the parts of a step came to, with an outcome and a note on them."""
        outcome, note = noted
        end = self._done(State.SUCCEEDED, fingerprint, outcome, error=note, result=result)
        await self._settle_unsent(item_id, 0, end)

    async def copy(self, item_id: int, fingerprint: bytes, twin: Twin) -> None:
        """Record that the item ends as another of an equal request did; nothing is spent."""
        if twin.state is State.SUCCEEDED:
            end = self._done(
                State.SUCCEEDED, fingerprint, twin.outcome, error=twin.error, result=twin.result
            )
        else:
            end = self._failed(fingerprint, twin.outcome, twin.error)
        await self._ledger.settle_unsent(
            (item_id, self.step.name, 0),
            end,
            run_id=self._origin.run_id,
            at=self._clock.utcnow(),
            model=twin.model,
            copied_from=twin.item_id,
        )

    async def reuse(self, item_id: int, fingerprint: bytes) -> None:
        """Record that the result of an earlier time stays, as its request does."""
        where = (item_id, self.step.name, 0)
        await self._ledger.reuse(where, fingerprint, release=self.step.following)

    async def begin_parts(self, item_id: int, parts: Sequence[tuple[int, bytes]]) -> None:
        """Record the parts that are about to be sent, with their fingerprints."""
        await self._ledger.begin_parts(item_id, self.step.name, parts)

    async def problem(self, flow: Flow, result: object) -> str | None:
        """Why what was joined of several answers is no result; None where it is one."""
        text = result if isinstance(result, str) else to_json(result)
        if (problem := self.step.answers.read(text).problem) is not None:
            return problem
        if self.step.checks.block:
            return await self.step.checks.off_loop(lambda: self._unchecked(flow, result))
        return self._unchecked(flow, result)

    async def _settle_unsent(self, item_id: int, part: int, end: StepEnd) -> None:
        await self._ledger.settle_unsent(
            (item_id, self.step.name, part),
            end,
            run_id=self._origin.run_id,
            at=self._clock.utcnow(),
            model=self.step.model if end.state is State.SUCCEEDED else None,
        )

    def _done(
        self,
        state: State,
        fingerprint: bytes,
        outcome: str,
        *,
        error: str = "",
        result: object = None,
        part: int = 0,
    ) -> StepEnd:
        """The end of a step that lets the item go on; of a part, only the part's."""
        is_last = part == 0 and self.step.following is None
        return StepEnd(
            state,
            fingerprint,
            outcome,
            error,
            result,
            forget_row=is_last and not self.step.retain.items,
            release=self.step.following if part == 0 else None,
        )

    def _failed(self, fingerprint: bytes, outcome: str, error: str, part: int = 0) -> StepEnd:
        """The end of a step that ends the item too; of a part, only the part's."""
        forget = part == 0 and not self.step.retain.items
        return StepEnd(State.FAILED, fingerprint, outcome, error, forget_row=forget)

    def _shape(self, work: Work, *more: Tried) -> Shape:
        step, history = self.step, (*work.history, *more)
        return policy.next_shape(
            history, max_tokens=step.max_tokens, policies=step.policies, asker=step.asker
        )

    def _shortened(self, work: Work, shape: Shape) -> Shortened | None:
        """The request with as much of its text as fits; None: as it is."""
        if shape.keeps == 1:
            return None
        flow = work.flow
        return shortened(
            work.rendered, keeps=shape.keeps, item=flow.item.row or {}, results=flow.results
        )

    def _open(self, work: Work, prepared: Prepared) -> Attempt:
        return Attempt(
            id=self._ledger.new_attempt_id(),
            item_id=work.flow.item.item_id,
            step=self.step.name,
            part=work.part,
            number=work.number,
            run_id=self._origin.run_id,
            launch_id=self._origin.launch_id,
            model=self.step.model,
            max_tokens=prepared.request.max_tokens,
            input_tokens=prepared.estimate,
            sent_at=self._clock.utcnow(),
            worst_cost=prepared.ask.worst_cost,
            purpose=self._purpose(work),
        )

    def _purpose(self, work: Work) -> Purpose | None:
        """What the next attempt is made for; parts of a text that was split are a policy's work."""
        if work.excerpt is not None and not work.history:
            return Purpose.ON_TOO_LONG
        return policy.purpose(work.history, policies=self.step.policies, asker=self.step.asker)

    async def _exchange(self, work: Work, prepared: Prepared) -> tuple[Reply, object]:
        """Reply and result; a defect of ours is one attempt's failure, not the pool's."""
        try:
            reply = await self._send(work, prepared)
            if self.step.checks.block:
                return await self.step.checks.off_loop(lambda: self._judge(work, reply))
            return self._judge(work, reply)
        except MemoryError:  # nobody's defect: the attempt stays open, and counts as unknown
            raise
        except Exception as error:
            log.exception("an attempt failed inside batchai", extra={"item": work.key})
            detail = f"batchai itself failed ({type(error).__name__}); please report it"
            return Reply(Outcome.MALFORMED, may_be_billed=True, detail=detail), None

    async def _send(self, work: Work, prepared: Prepared) -> Reply:
        provider, max_tokens = self.step.provider, prepared.request.max_tokens
        if prepared.request.is_streamed:
            on_text = _unwatched if self._on_text is None else partial(self._on_text, work.key)
            deadlines = stream_deadlines(max_tokens)
            return await provider.stream(prepared.body, deadlines=deadlines, on_text=on_text)
        return await provider.send(prepared.body, deadline_seconds=deadline_seconds(max_tokens))

    def _judge(self, work: Work, reply: Reply) -> tuple[Reply, object]:
        """A normal stop is a success only when its answer is valid, and passes the checks."""
        if reply.outcome is Outcome.TOO_LONG and not self._can_cut(work, reply):
            detail = f"{reply.detail}; no text of the item can be cut so that it fits"
            return replace(reply, outcome=Outcome.REJECTED, detail=detail), None
        if reply.outcome is not Outcome.SUCCEEDED:
            return reply, None
        reading = self.step.answers.read(reply.text)
        problem = reading.problem or self._unchecked(work.flow, reading.value)
        if problem is not None:
            return replace(reply, outcome=Outcome.INVALID, detail=problem), None
        if self.step.doubts is not None and self.step.doubts(
            reading.value, self._variables(work.flow)
        ):
            return replace(reply, outcome=Outcome.DOUBTED), reading.value
        return reply, reading.value

    def _can_cut(self, work: Work, reply: Reply) -> bool:
        """Whether a prompt that is too long can be made to fit, if that is to be tried at all."""
        too_long = self.step.policies.on_too_long
        if too_long == "fail":
            return True
        if isinstance(too_long, Split):
            keeps = policy.fitting_share(reply.detail)
            found = division(work.flow, work.rendered, work.part, work.excerpt, keeps=keeps)
            return found is not None
        tried = Tried(reply.outcome, 0, reply.detail, asker=self.step.asker)
        return self._shortened(work, self._shape(work, tried)) is not None

    def _unchecked(self, flow: Flow, result: object) -> str | None:
        checks = self.step.checks
        return checks.problem(result, self._variables(flow)) if checks else None

    def _variables(self, flow: Flow) -> dict[str, Any]:
        return self.step.prompts.variables(flow.item.row or {}, flow.results)

    def _doubted(self, verdict: policy.Stand) -> object:
        return self.step.answers.read(verdict.doubted.answer or "").value

    def _priced(self, reply: Reply) -> tuple[Reply, Decimal]:
        """Reply and cost; a usage that makes no sense is none, so that the worst case is charged.

        An error here would leave the attempt open, to be sent and paid again.
        """
        usage = reply.usage
        if usage is None:
            return reply, NO_COST
        try:
            if usage.input + usage.output <= _MOST_TOKENS:
                return reply, self.step.cost(usage, self._clock, reply.delivery)
            problem = f"usage: {usage.input + usage.output:,} tokens in one request"
        except PricingError as error:
            problem = str(error)
        log.warning("%s; its worst case counts as unconfirmed", problem)
        return replace(reply, usage=None, may_be_billed=True), NO_COST

    def _settlement(
        self, attempt: Attempt, reply: Reply, cost: Decimal, latency: float
    ) -> Settlement:
        usage = reply.usage
        keeps_answer = self.step.retain.answers and reply.outcome is not Outcome.SUCCEEDED
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
            saved=NO_COST if usage is None else self.step.saved(usage, self._clock, reply.delivery),
            delivery=reply.delivery,
        )

    def _tried(self, reply: Reply, max_tokens: int) -> Tried:
        reached = reply.may_be_billed or reply.status is not None
        return Tried(
            outcome=reply.outcome,
            max_tokens=max_tokens,
            detail=reply.detail,
            answer=reply.text if reply.outcome in _REMEMBERED else None,
            asker=self.step.asker,
            model=reply.model or self.step.model,
            is_counted=policy.is_counted(reply.outcome, reached=reached)
            and not self._outage.explains(reply.outcome),
        )

    def _end(self, work: Work, reply: Reply, verdict: Verdict, result: object) -> StepEnd | None:
        outcome = reply.outcome.value
        match verdict:
            case policy.Succeed():
                note = self._note(work)
                return self._done(
                    State.SUCCEEDED,
                    work.fingerprint,
                    Outcome.TOO_LONG.value if note else outcome,
                    error=note,
                    result=result,
                    part=work.part,
                )
            case policy.Stand(doubted=doubted):
                end = self._done(
                    State.SUCCEEDED,
                    work.fingerprint,
                    doubted.outcome.value,
                    error=f"{self.step.model} gave no other answer: {reply.detail}",
                    result=self._doubted(verdict),
                    part=work.part,
                )
                return replace(end, model=doubted.model)
            case policy.Fix(values=values):
                return self._done(
                    State.SUCCEEDED,
                    work.fingerprint,
                    outcome,
                    error=f"fixed values of the job: {reply.detail}",
                    result=values,
                    part=work.part,
                )
            case policy.Fail():
                return self._failed(work.fingerprint, outcome, reply.detail, work.part)
            case policy.Again() | policy.Divide() | policy.Stop():
                return None

    def _note(self, work: Work) -> str:
        """What is to be known of a result beside its being one."""
        if len(work.history) == 1:  # nearly always: it was sent whole
            return ""
        cut = self._shortened(work, self._shape(work))
        return "" if cut is None else cut.note

    def _settle(
        self, permit: Permit, prepared: Prepared, reply: Reply, settlement: Settlement
    ) -> None:
        """What was really used goes into the windows of the reservation, and into the budget."""
        usage = reply.usage
        input_tokens, output_tokens = 0, 0
        if usage is not None:
            input_tokens = self.step.provider.counted_input_tokens(usage)
            output_tokens = usage.output
            self.step.calibration.observe(estimate=prepared.estimate, actual=usage.input)
        elif reply.may_be_billed:
            input_tokens, output_tokens = prepared.ask.input_tokens, prepared.ask.output_tokens
        permit.settle(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=settlement.cost,
            unconfirmed=settlement.unconfirmed_cost,
        )


def _asker(row: AttemptRow, step: PreparedStep) -> int:
    """The number of the model that an attempt was made at."""
    match row.purpose:
        case Purpose.ESCALATE:
            return step.policies.larger or 0
        case Purpose.FALLBACK:
            names = [model.name for model in step.policies.fallbacks]
            return names.index(row.asked_model) + 1 if row.asked_model in names else 0
    return 0


def _unwatched(_text: str) -> None:
    """Nobody watches the answer being written."""
