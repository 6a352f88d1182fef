"""What a simulated provider is like."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from batchai.simulator.faults import FaultPlan, no_faults
from batchai.simulator.requests import SimRequest


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds until an answer: `seconds` × a lognormal factor of median 1 + so much per token."""

    seconds: float = 0.0
    sigma: float = 0.0  # of the logarithm; 0 = always the same
    per_output_token_seconds: float = 0.0
    seed: int = 0

    def draw(self, sequence: int, output_tokens: int) -> float:
        """The seconds that the request of this arrival index takes; always the same."""
        seconds = self.seconds
        if self.sigma:
            spread = random.Random(f"{self.seed} {sequence}").gauss(0, self.sigma)
            seconds *= math.exp(spread)
        return seconds + self.per_output_token_seconds * output_tokens


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Per sliding window, for each key at each provider; None = unlimited.

    tokens: input and output together. Requests that are refused do not count.
    """

    requests: int | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    window_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Other users of the same account: Poisson arrivals that draw on the same windows."""

    requests_per_second: float
    tokens_per_request: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """Requests served at once; beyond it latency grows in proportion, or requests are refused."""

    slots: int
    beyond: Literal["slow", "overloaded"] = "slow"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about a simulator. The default answers at once, to any key and any model.

    bytes_per_token: tokens are UTF-8 bytes divided by this. caches: prompts are cached as the
    providers do it, where no share is given. cache_read_share, cache_write_share: parts of the
    input that are reported (and billed) as such. reasoning_tokens: spent before every
    answer, within the output. least_output_tokens: a shorter answer is billed as if it had so many.
    answer: what the model writes, in place of the computed answer. keep_content: whether the record
    keeps prompts, bodies and answers, or only what is counted.
    resolve_model: the model id that the answer carries. service_tier: the one that a request is
    served and billed at (None: the standard one), in place of the one that it asks for.
    fixed_answer: the fast path, one precomputed reply to everything: no checks, no limits, no
    faults, and only arrivals recorded.
    """

    port: int = 0
    latency: Latency = field(default_factory=Latency)
    limits: AccountLimits | None = None
    neighbours: Neighbours | None = None
    capacity: Capacity | None = None
    faults: FaultPlan = no_faults
    answer: Callable[[SimRequest], str] | None = None
    resolve_model: Callable[[SimRequest], str] | None = None
    service_tier: Callable[[SimRequest], str | None] | None = None
    fixed_answer: str | None = None
    keys: frozenset[str] | None = None  # None = any
    require_key: bool = True
    models: frozenset[str] | None = None  # None = any
    check_schemas: bool = True  # answer 400 to schemas that the real provider does not take
    max_body_bytes: int = 32 * 2**20
    bytes_per_token: float = 4.0
    caches: bool = True
    cache_read_share: float = 0.0
    cache_write_share: float = 0.0
    reasoning_tokens: int = 0
    least_output_tokens: int = 0
    keep_content: bool = True
    retry_after_seconds: float = 1.0  # of Fault.RATE_LIMITED
    redirect_url: str = "http://127.0.0.1:9"  # of Fault.REDIRECT; the request's path is appended
    drip_seconds: float = 0.1
    huge_bytes: int = 10 * 2**20
