"""From a survey and what was done to an estimate: what is left will cost and take, about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from batchai.domain import Estimate
from batchai.engine.step import PreparedStep
from batchai.errors import TemplateError
from batchai.forecast import LEAST_SAMPLE, Forecast, forecast, is_like
from batchai.operations.survey import Survey, Surveyor
from batchai.spec.models import Limits
from batchai.store import Reader
from batchai.store.samples import TakenItem, newest_taken

ASSUMED_LATENCY_SECONDS = 3.0  # of one request, before there is a history
_AUTO_SLOTS = 32
_PICO = 1e12
_FINEST = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Amounts:
    """What items take together; seconds: of all their attempts, one after the other."""

    requests: float
    input_tokens: float
    output_tokens: float
    seconds: float


def done_before(reader: Reader, steps: Sequence[PreparedStep]) -> list[TakenItem]:
    """What the newest items took whose requests are of today's prompt, model and parameters."""
    found = newest_taken(reader, *names_of(steps))
    return [item for item in found if steps[0].asking.have_made(item.fingerprint)]


def names_of(steps: Sequence[PreparedStep]) -> tuple[str, ...]:
    """The steps that items go through."""
    return tuple(step.name for step in steps if step.reduction is None)


def estimate(
    survey: Survey,
    surveyor: Surveyor,
    *,
    done: Sequence[TakenItem],
    steps: Sequence[PreparedStep],
    limits: Limits,
    latency_seconds: float | None,
    at: datetime,
) -> Estimate:
    """Of what the survey counted: by what was done before where that is enough, else by sizes.

    latency_seconds: of a request of any earlier time, None where there is none.
    """
    learnt = estimate_from(
        done, survey, surveyor, steps=steps, limits=limits, basis="history", at=at
    )
    return learnt or estimate_by_size(
        survey,
        limits=limits,
        latency_seconds=latency_seconds,
        basis="schema" if latency_seconds is None else "history",
        at=at,
    )


def estimate_from(
    done: Sequence[TakenItem],
    survey: Survey,
    surveyor: Surveyor,
    *,
    steps: Sequence[PreparedStep],
    limits: Limits,
    basis: str,
    at: datetime,
) -> Estimate | None:
    """Of what the survey counted, by what the items in `done` took; None where they are too few, or
    of another size."""
    sample = [
        (size, item) for item in done if (size := _size(surveyor, steps[0], item)) is not None
    ]
    if len(sample) < LEAST_SAMPLE:
        return None
    mean_size = survey.size / survey.to_send if survey.to_send else 0.0
    if survey.to_send and not is_like([size for size, _ in sample], mean_size):
        return None

    def of(name: str) -> Forecast:
        values = [(size, float(getattr(item, name))) for size, item in sample]
        return forecast(values, count=survey.to_send, size=survey.size)

    cost = of("cost_pico")
    requests, given, written, latency = map(
        of, ("attempts", "input_tokens", "output_tokens", "latency_ms")
    )
    reduced = survey.reduced or Survey()
    each_ms = sum(item.latency_ms for _, item in sample) / sum(item.attempts for _, item in sample)

    def seconds(bound: str) -> float:
        amounts = Amounts(
            requests=getattr(requests, bound) + reduced.requests.total(),
            input_tokens=getattr(given, bound) + reduced.input_tokens,
            output_tokens=getattr(written, bound) + reduced.output_tokens,
            seconds=(getattr(latency, bound) + reduced.requests.total() * each_ms) / 1000,
        )
        return duration(amounts, limits)

    return Estimate(
        made_at=at,
        basis=basis,
        sample=len(sample),
        items=survey.to_send,
        input_tokens=round(given.expected) + reduced.input_tokens,
        output_tokens=round(written.expected) + reduced.output_tokens,
        cost_usd=_usd(cost.expected) + reduced.cost,
        cost_low_usd=_usd(cost.low) + reduced.cost,
        cost_high_usd=_usd(cost.high) + reduced.cost,
        seconds=seconds("expected"),
        seconds_low=seconds("low"),
        seconds_high=seconds("high"),
    )


def estimate_by_size(
    survey: Survey, *, limits: Limits, latency_seconds: float | None, basis: str, at: datetime
) -> Estimate:
    """Of what the survey counted, by sizes alone: without an interval."""
    latency = latency_seconds or ASSUMED_LATENCY_SECONDS
    amounts = Amounts(
        requests=survey.requests.total(),
        input_tokens=survey.input_tokens,
        output_tokens=survey.output_tokens,
        seconds=survey.requests.total() * latency,
    )
    return Estimate(
        made_at=at,
        basis=basis,
        sample=0,
        items=survey.to_send,
        input_tokens=survey.input_tokens,
        output_tokens=survey.output_tokens,
        cost_usd=survey.cost,
        cost_low_usd=None,
        cost_high_usd=None,
        seconds=duration(amounts, limits),
        seconds_low=None,
        seconds_high=None,
    )


def with_spent(estimate: Estimate, *, cost: Decimal, items: int, seconds: float) -> Estimate:
    """The estimate of a whole run, of which so much is done: that part is known."""
    low, high = estimate.cost_low_usd, estimate.cost_high_usd
    early, late = estimate.seconds_low, estimate.seconds_high
    return replace(
        estimate,
        items=estimate.items + items,
        cost_usd=estimate.cost_usd + cost,
        cost_low_usd=None if low is None else low + cost,
        cost_high_usd=None if high is None else high + cost,
        seconds=estimate.seconds + seconds,
        seconds_low=None if early is None else early + seconds,
        seconds_high=None if late is None else late + seconds,
    )


def duration(amounts: Amounts, limits: Limits) -> float:
    """Seconds: the slowest of the limits decides.

    While the last requests are answered no others begin, so that a request's time comes on top.
    """
    if not amounts.requests:
        return 0.0
    slots = _AUTO_SLOTS if limits.concurrency == "auto" else limits.concurrency
    at_once = min(slots, amounts.requests)
    one = amounts.seconds / amounts.requests
    waits = [amounts.seconds / at_once + one * (1 - 1 / at_once)]
    for limit, amount in (
        (limits.requests_per_minute, amounts.requests),
        (limits.tokens_per_minute, amounts.input_tokens + amounts.output_tokens),
        (limits.input_tokens_per_minute, amounts.input_tokens),
        (limits.output_tokens_per_minute, amounts.output_tokens),
    ):
        if limit:
            waits.append(amount / limit * 60)
    return max(waits)


def _size(surveyor: Surveyor, step: PreparedStep, item: TakenItem) -> float | None:
    try:
        asked = step.asking.of(item.fields, {})
    except TemplateError:
        return None
    return surveyor.size(asked.requests[0]) if asked.requests else 0.0


def _usd(pico: float) -> Decimal:
    return Decimal(pico / _PICO).quantize(_FINEST)
