"""One step of a job, made ready for a launch: templates, provider, schema, prices, policies."""

from dataclasses import dataclass
from decimal import Decimal

from batchai.clock import Clock
from batchai.domain import ModelSettings, Request, Usage
from batchai.engine.policy import Retries, Shape
from batchai.limits import Ask, Calibration, estimate_tokens
from batchai.pricing import Rates
from batchai.prompts import Prompts, Rendered
from batchai.providers import Provider, worst_input_tokens
from batchai.schemas import AnswerSchema
from batchai.spec.models import Policies, Retain

_DEADLINE_BASE_SECONDS = 60.0
_SLOWEST_TOKENS_PER_SECOND = 10  # a model that writes more slowly than this counts as hung
_LONGEST_DEADLINE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """Everything that is the same for all items of a step in one launch."""

    name: str
    model: str  # provider/name
    settings: ModelSettings
    max_tokens: int
    prompts: Prompts
    answers: AnswerSchema
    provider: Provider
    rates: Rates
    policies: Policies
    retries: Retries
    retain: Retain
    calibration: Calibration

    def request(self, rendered: Rendered, shape: Shape) -> Request:
        """The call for an item, as the policies have shaped it."""
        return Request(
            self.settings,
            rendered.system,
            rendered.messages + shape.feedback,
            shape.max_tokens,
        )

    def ask(self, body: bytes, shape: Shape, clock: Clock) -> tuple[Ask, int]:
        """What the gate is asked for, and the plain token estimate that calibration learns from."""
        estimate = estimate_tokens(body.decode())
        ask = Ask(
            input_tokens=self.calibration.reserve(estimate),
            output_tokens=shape.max_tokens,
            worst_cost=self.worst_cost(len(body), shape.max_tokens, clock),
        )
        return ask, estimate

    def worst_cost(self, size_bytes: int, max_tokens: int, clock: Clock) -> Decimal:
        """The most that one request can cost, in USD: every byte a token, every token written."""
        return self.rates.worst_cost(
            input_tokens_bound=worst_input_tokens(size_bytes),
            max_tokens=max_tokens,
            at=clock.utcnow(),
        )

    def cost(self, usage: Usage, clock: Clock) -> Decimal:
        """What a reply's usage costs, in USD."""
        return self.rates.cost(usage, at=clock.utcnow())


def deadline_seconds(max_tokens: int) -> float:
    """The longest that one attempt may take, from how much it may write."""
    return min(
        _LONGEST_DEADLINE_SECONDS, _DEADLINE_BASE_SECONDS + max_tokens / _SLOWEST_TOKENS_PER_SECOND
    )
