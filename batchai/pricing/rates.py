"""Rates and the cost of one request; exact Decimal USD throughout."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from batchai.domain import NO_COST, Usage
from batchai.errors import PricingError

log = logging.getLogger(__name__)

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tier:
    """USD per token (`per_request`: USD) for requests with more than `above` input tokens."""

    above: int
    uncached_input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal
    reasoning: Decimal
    per_request: Decimal = NO_COST

    def cost(self, usage: Usage) -> Decimal:
        """Exact USD of one request."""
        return (
            self.uncached_input * usage.uncached_input
            + self.cache_read * usage.cache_read
            + self.cache_write_5m * usage.cache_write_5m
            + self.cache_write_1h * usage.cache_write_1h
            + self.output * (usage.output - usage.reasoning)
            + self.reasoning * usage.reasoning
            + self.per_request
        )

    def times(self, factor: Decimal) -> "Tier":
        """The same prices, all of them multiplied."""
        return Tier(
            self.above,
            self.uncached_input * factor,
            self.cache_read * factor,
            self.cache_write_5m * factor,
            self.cache_write_1h * factor,
            self.output * factor,
            self.reasoning * factor,
            self.per_request * factor,
        )

    def worst_cost(self, input_tokens: int, output_tokens: int, *, with_1h: bool) -> Decimal:
        """USD if every token fell into its dearest bucket; 1 h cache writes only if they may be."""
        dearest_input = max(self.uncached_input, self.cache_read, self.cache_write_5m)
        if with_1h:
            dearest_input = max(dearest_input, self.cache_write_1h)
        dearest_output = max(self.output, self.reasoning)
        return dearest_input * input_tokens + dearest_output * output_tokens + self.per_request


Tiers = tuple[Tier, ...]  # the highest threshold first; the last one is above -1: always
TiersAt = Callable[[datetime, str | None], Tiers]  # at a time, of a delivery (None: standard)
FREE: Tiers = (Tier(-1, NO_COST, NO_COST, NO_COST, NO_COST, NO_COST, NO_COST),)


class Rates:
    """The prices of one model under one request context, over time; hold it for the whole run.

    model: as the price data resolved it (`openai/gpt-4o` of `openai/gpt-4o-2024-11-20`).
    delivery: the one that requests ask for, None the standard one. deliveries: those with prices of
    their own. is_dated: prices change with time.
    """

    def __init__(
        self,
        model: str,
        tiers_at: TiersAt,
        *,
        is_dated: bool = True,
        delivery: str | None = None,
        deliveries: frozenset[str] = frozenset(),
        may_write_1h: bool = False,
    ) -> None:
        self.model = model
        self.delivery = delivery
        self._tiers_at = tiers_at
        self._is_dated = is_dated
        self._deliveries = deliveries
        self._may_write_1h = may_write_1h
        self._possible = (None,) if delivery is None else (None, delivery)
        self._kept: dict[str | None, Tiers] = {}  # of the minute
        self._since = self._until = _NEVER
        self._told: set[str] = set()

    @property
    def is_free(self) -> bool:
        """Whether nothing costs anything, ever."""
        return not self._is_dated and self._of(None, _NEVER) == FREE

    def cost(self, usage: Usage, *, at: datetime, delivery: str | None = None) -> Decimal:
        """Exact USD of one request that was sent at `at`, and served as `delivery`.

        Price by request, never by summed usage: its size selects the tier. A delivery without a
        known price costs what the standard one costs; a warning tells so. Raises PricingError for a
        negative or self-contradicting usage.
        """
        _check(usage)
        size = usage.input
        for tier in self._of(delivery, at):
            if size > tier.above:
                return tier.cost(usage)
        raise AssertionError("the last tier holds for any size")

    def saved(self, usage: Usage, *, at: datetime, delivery: str | None = None) -> Decimal:
        """USD that its cached tokens would have cost more as plain input; below 0 if less."""
        if usage.uncached_input == usage.input:
            return NO_COST
        plain = Usage(usage.input, output=usage.output, reasoning=usage.reasoning)
        return self.cost(plain, at=at, delivery=delivery) - self.cost(
            usage, at=at, delivery=delivery
        )

    def worst_cost(self, *, input_tokens_bound: int, max_tokens: int, at: datetime) -> Decimal:
        """The most in USD that a request of at most this size can cost: dearest bucket and tier.

        A provider that does not serve the delivery asked for serves, and bills, the standard one.
        """
        return max(
            tier.worst_cost(input_tokens_bound, max_tokens, with_1h=self._may_write_1h)
            for delivery in self._possible
            for tier in self._of(delivery, at)
            if input_tokens_bound > tier.above
        )

    def _of(self, delivery: str | None, at: datetime) -> Tiers:
        """The tiers at `at`; kept for its minute, as prices change on the minute at the finest."""
        if self._is_dated and not self._since <= at < self._until:
            self._since = at.replace(second=0, microsecond=0)
            self._until = self._since + timedelta(minutes=1)
            self._kept.clear()
        tiers = self._kept.get(delivery)
        if tiers is None:
            tiers = self._kept[delivery] = self._tiers_at(at, self._priced(delivery))
        return tiers

    def _priced(self, delivery: str | None) -> str | None:
        if delivery is None or delivery in self._deliveries:
            return delivery
        if delivery not in self._told:
            self._told.add(delivery)
            log.warning(
                "%s served requests as %s, for which no price is known: they count at the standard "
                "price; say it in model.price.delivery",
                self.model,
                delivery,
            )
        return None


def to_pico(amount: Decimal) -> int:
    """USD as integer pico-dollars, exact; what is finer than 1e-12 USD is rounded up."""
    return int(amount.scaleb(12).to_integral_value(ROUND_CEILING))


def from_pico(pico_dollars: int) -> Decimal:
    """USD of integer pico-dollars, exact."""
    return Decimal(pico_dollars).scaleb(-12)


def _check(usage: Usage) -> None:
    uncached, read, output = usage.uncached_input, usage.cache_read, usage.output
    written_5m, written_1h = usage.cache_write_5m, usage.cache_write_1h
    if min(uncached, read, written_5m, written_1h, output, usage.reasoning) < 0:
        name = next(field.name for field in fields(usage) if getattr(usage, field.name) < 0)
        raise PricingError(
            f"usage.{name}: {getattr(usage, name)} tokens: the provider sent a negative count;"
            " the request's cost is unknown"
        )
    if usage.reasoning > output:
        raise PricingError(
            f"usage.reasoning: {usage.reasoning} tokens are more than the {output} of output that"
            " they are a part of; the request's cost is unknown"
        )
