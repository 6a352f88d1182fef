"""Advice follows from figures, and only from those that tell something."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from batchai.domain import Outcome, Usage
from batchai.pricing import list_models
from batchai.reports.advice import Facts, Sibling, advice
from batchai.reports.savings import sibling
from batchai.reports.tally import Tally, tally
from batchai.reports.timeline import LimitUse

_AT = datetime(2026, 11, 25, tzinfo=UTC)
_NOTHING = tally(())


def _sums(attempts: int, cost: str, tokens: Usage | None = None) -> Tally:
    sums = replace(_NOTHING, attempts=attempts, cost_usd=Decimal(cost))
    return sums if tokens is None else replace(sums, tokens=tokens)


_QUIET = Facts(
    total=_sums(1000, "10"),
    outcomes={Outcome.SUCCEEDED: _sums(1000, "10")},
    working_seconds=3600,
    limits=(LimitUse("requests_per_minute", 55, 60),),
    concurrency=8,
    max_tokens=256,
    siblings=(),
)


def test_a_run_that_went_well_gets_no_advice() -> None:
    assert advice(_QUIET) == ()
    assert advice(replace(_QUIET, total=_NOTHING)) == ()


@pytest.mark.parametrize(
    ("facts", "kind", "remedy"),
    [
        (
            replace(_QUIET, siblings=(Sibling("a/b-nano", "a/b", Decimal(2), Decimal(8)),)),
            "cheaper_model",
            "batchai compare JOB --models a/b,a/b-nano",
        ),
        (
            replace(_QUIET, outcomes={Outcome.TRUNCATED: _sums(30, "0.4")}),
            "larger_max_tokens",
            "model.max_tokens: 512",
        ),
        (
            replace(_QUIET, total=_sums(1000, "10", Usage(cache_read=7000, cache_write_5m=3000))),
            "longer_cache",
            "cache: 1h",
        ),
        (
            replace(_QUIET, outcomes={Outcome.INVALID: _sums(30, "0.4")}),
            "clearer_prompt",
            "batchai show JOB invalid",
        ),
        (
            replace(_QUIET, outcomes={Outcome.RATE_LIMITED: _sums(30, "0")}),
            "lower_limits",
            "limits.requests_per_minute",
        ),
        (
            replace(_QUIET, limits=(LimitUse("requests_per_minute", 12, 60),)),
            "more_at_once",
            "limits.concurrency: 16",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_figure_that_stands_out_has_its_remedy(facts: Facts, kind: str, remedy: str) -> None:
    (found,) = advice(facts)
    assert (found.kind, found.remedy) == (kind, remedy)


def test_what_saves_most_comes_first() -> None:
    cut = {Outcome.TRUNCATED: _sums(30, "0.4"), Outcome.INVALID: _sums(30, "0.9")}
    cheaper = (Sibling("a/b-nano", "a/b", Decimal(2), Decimal("0.5")),)
    found = advice(replace(_QUIET, outcomes=cut, siblings=cheaper))
    assert [each.saving_usd for each in found] == [Decimal("0.9"), Decimal("0.5"), Decimal("0.4")]


@pytest.mark.parametrize(
    ("model", "cheaper"),
    [
        ("openai/gpt-5.4-mini", "openai/gpt-5.4-nano"),
        ("anthropic/claude-sonnet-5-5", "anthropic/claude-haiku-5-5"),
        ("anthropic/claude-haiku-5-5", None),
        ("openai/no-such-model", None),
    ],
)
def test_a_cheaper_model_is_of_the_same_generation(model: str, cheaper: str | None) -> None:
    tokens = Usage(uncached_input=1_000_000, output=100_000)
    found = sibling(model, tokens, list_models(f"{model.split('/')[0]}/*", at=_AT), at=_AT)
    assert (found and found.model) == cheaper
    if found is not None:
        assert 0 < found.cost_usd < found.saving_usd + found.cost_usd
