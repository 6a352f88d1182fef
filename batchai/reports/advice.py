"""Advice that follows from the figures of the last run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from batchai.domain import Outcome
from batchai.reports.tally import Tally
from batchai.reports.timeline import LimitUse
from batchai.reports.words import counted, share, usd

_ANSWERED = (
    Outcome.SUCCEEDED,
    Outcome.TRUNCATED,
    Outcome.REFUSED,
    Outcome.EMPTY,
    Outcome.INVALID,
)
_LEAST_SAVING = Decimal("0.01")
_LEAST_SHARE = 0.02  # of attempts or cost, to be worth a word
_OFTEN_REWRITTEN = 0.2  # of the cached input
_LITTLE_USED = 0.5  # of every limit
_LONG_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change, and why. remedy: a setting of the job, or a command with JOB in it.

    saving_usd: what it would have saved of the last run, None where that cannot be said.
    """

    kind: str
    words: str
    remedy: str
    saving_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Sibling:
    """A cheaper model of the same generation. cost_usd: what the same tokens cost there."""

    model: str
    instead_of: str
    cost_usd: Decimal
    saving_usd: Decimal


@dataclass(frozen=True, slots=True)
class Facts:
    """What advice is made from: the last run's sums, whole and by outcome, and the job of now."""

    total: Tally
    outcomes: Mapping[Outcome, Tally]
    working_seconds: float
    limits: tuple[LimitUse, ...]
    concurrency: int | str
    max_tokens: int
    siblings: tuple[Sibling, ...]


def advice(facts: Facts) -> tuple[Advice, ...]:
    """The advice, what saves most first."""
    if not facts.total.attempts:
        return ()
    found = [*_cheaper(facts), *_cut(facts), *_cache(facts), *_invalid(facts), *_limits(facts)]
    return tuple(sorted(found, key=lambda each: -(each.saving_usd or 0)))


def _cheaper(facts: Facts) -> Iterator[Advice]:
    for sibling in facts.siblings:
        if sibling.saving_usd >= _LEAST_SAVING:
            words = (
                f"{sibling.model} would have cost {usd(sibling.cost_usd)} for the tokens of "
                f"{sibling.instead_of}, {usd(sibling.saving_usd)} less: compare "
                "their answers on a sample"
            )
            remedy = f"batchai compare JOB --models {sibling.instead_of},{sibling.model}"
            yield Advice("cheaper_model", words, remedy, sibling.saving_usd)


def _cut(facts: Facts) -> Iterator[Advice]:
    answers = sum(facts.outcomes[kind].attempts for kind in _ANSWERED if kind in facts.outcomes)
    cut = facts.outcomes.get(Outcome.TRUNCATED)
    if cut is not None and cut.attempts >= _LEAST_SHARE * answers:
        words = (
            f"{counted(cut.attempts, 'answer')} ({share(cut.attempts, answers)}) were cut off at "
            f"the end of max_tokens, for {usd(cut.cost_usd)}: allow more than {facts.max_tokens:,}"
        )
        remedy = f"model.max_tokens: {2 * facts.max_tokens}"
        yield Advice("larger_max_tokens", words, remedy, cut.cost_usd)


def _cache(facts: Facts) -> Iterator[Advice]:
    tokens = facts.total.tokens
    written = tokens.cache_write_5m
    cached = written + tokens.cache_write_1h + tokens.cache_read
    if written and written >= _OFTEN_REWRITTEN * cached:
        words = (
            f"{share(written, cached)} of the cached input was written, not read: the cache ran "
            "out between requests; let it last longer"
        )
        yield Advice("longer_cache", words, "cache: 1h", None)


def _invalid(facts: Facts) -> Iterator[Advice]:
    invalid = facts.outcomes.get(Outcome.INVALID)
    if invalid is not None and invalid.attempts >= _LEAST_SHARE * facts.total.attempts:
        words = (
            f"{counted(invalid.attempts, 'answer')} did not fit the schema, for "
            f"{usd(invalid.cost_usd)}: say in the prompt what the schema asks for"
        )
        yield Advice("clearer_prompt", words, "batchai show JOB invalid", invalid.cost_usd)


def _limits(facts: Facts) -> Iterator[Advice]:
    turned = facts.outcomes.get(Outcome.RATE_LIMITED)
    if turned is not None and turned.attempts >= _LEAST_SHARE * facts.total.attempts:
        words = (
            f"{counted(turned.attempts, 'request')} ({share(turned.attempts, facts.total.attempts)}"
            ") came back for a rate limit: set the limits to what the account allows"
        )
        yield Advice("lower_limits", words, "limits.requests_per_minute", None)
        return
    uses = [use.busiest / use.allowed for use in facts.limits if use.allowed]
    is_long = facts.working_seconds >= _LONG_SECONDS
    if uses and max(uses) < _LITTLE_USED and is_long and isinstance(facts.concurrency, int):
        words = (
            f"the busiest minute used {max(uses):.0%} of the limits: more requests at once would "
            "be faster"
        )
        yield Advice("more_at_once", words, f"limits.concurrency: {2 * facts.concurrency}", None)
