"""One step of a job, made ready for a launch: templates, provider, schema, prices, policies."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchai.clock import Clock
from batchai.domain import Attachment, CacheMark, ModelSettings, Request, Usage
from batchai.engine.policy import Retries, Shape
from batchai.limits import BYTES_PER_TOKEN, Ask, Calibration
from batchai.pricing import Rates
from batchai.prompts import Asking, Prompts, Rendered
from batchai.providers import (
    Deadlines,
    Provider,
    encoded_bytes,
    estimated_tokens,
    files_of,
    worst_input_tokens,
    worst_tokens,
)
from batchai.schemas import AnswerSchema, Checks
from batchai.spec.models import Policies, Reduction, Retain

Doubts = Callable[[object, Mapping[str, Any]], bool]

_DEADLINE_BASE_SECONDS = 60.0
_SLOWEST_TOKENS_PER_SECOND = 10  # a model that writes more slowly than this counts as hung
_LONGEST_DEADLINE_SECONDS = 900.0  # of an answer that is not streamed: connections are cut then
_MOST_SILENT_SECONDS = 600.0  # of a streamed one before it begins: reasoning is not seen
_MOST_IDLE_SECONDS = 120.0  # of a streamed one that has begun


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """Everything that is the same for all items of a step in one launch.

    account: whose limits its requests count against: provider, address, key and model family.
    following: what items go on with, None after the last step. condenser: what makes summaries of
    its conversations, where it has any. asker: the number of this model among those that the step
    may ask (engine/policy.py); further: the step with each of the others, from 1 on. doubts: tells
    whether a valid answer is to be asked again of the larger model.
    """

    name: str
    account: str
    model: str  # provider/name
    settings: ModelSettings
    max_tokens: int
    asking: Asking
    answers: AnswerSchema
    checks: Checks
    provider: Provider
    rates: Rates
    policies: Policies
    retries: Retries
    retain: Retain
    calibration: Calibration
    cache: CacheMark | None = None  # of what all requests begin with
    following: str | None = None
    condenser: "Condenser | None" = None
    asker: int = 0
    further: "tuple[PreparedStep, ...]" = ()
    doubts: Doubts | None = None
    reduction: Reduction | None = None

    @property
    def prompts(self) -> Prompts:
        """Its templates."""
        return self.asking.prompts

    def request(self, rendered: Rendered, shape: Shape, *, is_watched: bool = False) -> Request:
        """The call for an item, as the policies have shaped it.

        Streamed where it may take too long for one silent connection, or where somebody watches.
        """
        return Request(
            self.settings,
            rendered.system,
            rendered.messages + shape.feedback,
            shape.max_tokens,
            is_streamed=is_watched or _needed_seconds(shape.max_tokens) > _LONGEST_DEADLINE_SECONDS,
            cache=self.cache,
        )

    def ask(self, request: Request, body: bytes, clock: Clock) -> tuple[Ask, int]:
        """What the gate is asked for, and the plain token estimate that calibration learns from."""
        files = files_of(request)
        text_bytes = len(body) - encoded_bytes(files)
        estimate = math.ceil(text_bytes / BYTES_PER_TOKEN) + estimated_tokens(files)
        ask = Ask(
            input_tokens=self.calibration.reserve(estimate),
            output_tokens=request.max_tokens,
            worst_cost=self.worst_cost(text_bytes, request.max_tokens, clock, files),
            size_bytes=len(body),
        )
        return ask, estimate

    def worst_cost(
        self, text_bytes: int, max_tokens: int, clock: Clock, files: Sequence[Attachment] = ()
    ) -> Decimal:
        """The most that one request can cost, in USD: every byte a token, every token written."""
        bound = worst_input_tokens(text_bytes) + worst_tokens(self.settings.model, files)
        return self.rates.worst_cost(
            input_tokens_bound=bound, max_tokens=max_tokens, at=clock.utcnow()
        )

    def cost(self, usage: Usage, clock: Clock, delivery: str | None) -> Decimal:
        """What a reply's usage costs, in USD."""
        return self.rates.cost(usage, at=clock.utcnow(), delivery=delivery)

    def saved(self, usage: Usage, clock: Clock, delivery: str | None) -> Decimal:
        """What the provider's cache has saved of it, in USD."""
        return self.rates.saved(usage, at=clock.utcnow(), delivery=delivery)


def with_further(steps: Iterable[PreparedStep]) -> Iterator[PreparedStep]:
    """The steps with all that sends requests for them: other models, and what condenses."""
    for step in steps:
        yield step
        yield from step.further
        if step.condenser is not None:
            yield step.condenser.step


@dataclass(frozen=True, slots=True)
class Condenser:
    """How a conversation is condensed: by this step's model, once so many exchanges stand."""

    step: PreparedStep
    after: int


def deadline_seconds(max_tokens: int) -> float:
    """The longest that an attempt may take that is not streamed, from how much it may write."""
    return min(_LONGEST_DEADLINE_SECONDS, _needed_seconds(max_tokens))


def stream_deadlines(max_tokens: int) -> Deadlines:
    """The longest that a streamed attempt may take: what counts is that it goes on."""
    total = _needed_seconds(max_tokens)
    return Deadlines(
        total_seconds=max(total, _LONGEST_DEADLINE_SECONDS),
        first_seconds=_MOST_SILENT_SECONDS,
        idle_seconds=_MOST_IDLE_SECONDS,
    )


def _needed_seconds(max_tokens: int) -> float:
    return _DEADLINE_BASE_SECONDS + max_tokens / _SLOWEST_TOKENS_PER_SECOND
