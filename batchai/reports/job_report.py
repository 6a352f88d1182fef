"""The report of one job as a value: what came of the items, and what every attempt cost.

`json_text` of it is the report's JSON. Fields are added to it, never renamed or removed, while
`schema_version` is 1. Money is USD as a string, times are UTC in ISO 8601, durations are seconds.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from batchai.domain import Estimate, Outcome
from batchai.reports.advice import Advice
from batchai.reports.distributions import Distributions, Latency
from batchai.reports.savings import Saved
from batchai.reports.tally import Tally
from batchai.reports.timeline import LimitUse, Timeline


@dataclass(frozen=True, slots=True)
class Failure:
    """Selected items that failed in one way, or wait for the user; one item's reason as example."""

    kind: str
    items: int
    example: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """One name under which a provider answered for a model; `model` None: it gave no answer."""

    model: str | None
    attempts: int
    cost_usd: Decimal
    first_sent_at: datetime
    last_sent_at: datetime


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model as the job asked for it, `provider/name`."""

    model: str
    tally: Tally
    latency: Latency | None
    resolved: tuple[Resolved, ...]

    @property
    def names(self) -> tuple[Resolved, ...]:
        """Under which names it answered, in the order of their first answers."""
        return tuple(found for found in self.resolved if found.model is not None)


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """Attempts that ended in one way."""

    outcome: Outcome
    tally: Tally


@dataclass(frozen=True, slots=True)
class StepLine:
    """Attempts of one step; the one step of a job without `steps:` is `main`."""

    step: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """Further attempts of a step that a policy made (`retry`: the provider did not serve).

    items_rescued: items, or parts of a step, whose result came of the last of them.
    """

    step: str
    policy: str
    attempts: int
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    items_rescued: int


@dataclass(frozen=True, slots=True)
class CostlyLine:
    """One of the items that cost most: all of its attempts, of all runs."""

    key: str
    state: str
    attempts: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run. working_seconds: the sum of its launches' times; wall_seconds: from the first one's
    start to the last one's end; items_per_second: succeeded ones over working time; estimate: what
    was expected before, to be compared with the tally and working_seconds."""

    run: int
    started_at: datetime
    ended_at: datetime | None
    budget_usd: Decimal | None
    launches: int
    working_seconds: float
    wall_seconds: float
    items_per_second: float
    tally: Tally
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class DayLine:
    """Attempts sent on one day, UTC."""

    day: date
    tally: Tally


@dataclass(frozen=True, slots=True)
class OpenAttempts:
    """Attempts that were sent and are not recorded yet: in flight, or their launch died.

    at_risk_usd: the most that they can cost; it is in no other figure.
    """

    attempts: int
    at_risk_usd: Decimal


@dataclass(frozen=True, slots=True)
class Pair:
    """How often a result was given where another (or the same) was expected."""

    expected: str
    given: str
    items: int


@dataclass(frozen=True, slots=True)
class AgreementLine:
    """A result field beside the column of `expect:`; pairs: the commonest disagreements."""

    field: str
    column: str
    agreed: int
    compared: int
    disagreements: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class ComparedCost:
    """What one model cost in the job's comparisons; it is in no other figure.

    unconfirmed_usd: open attempts at their worst included.
    """

    model: str
    attempts: int
    cost_usd: Decimal
    unconfirmed_usd: Decimal


@dataclass(frozen=True, slots=True)
class BadRowLine:
    """A row of the input that could not be used."""

    place: str
    problem: str


@dataclass(frozen=True, slots=True)
class BadRows:
    """Rows that the last scan could not use; the first of them as examples."""

    rows: int
    examples: tuple[BadRowLine, ...]


@dataclass(frozen=True, slots=True)
class JobReport:
    """Everything about a job's items and money at one moment.

    items: selected items by state. fixed: of the succeeded, those with the job's fixed values in
    place of an answer. total and the lines of models, steps, outcomes, runs and days are over all
    attempts of the store, those of items that left the input among them; each list adds up to
    `total`.
    last_reason: why the last launch ended, None while it works or where it died unnoticed.
    results: the result file, None where there is none. saved: what was not spent. costliest: at
    most ten items. limits, timeline, advice: of the last run. distributions: of answers.
    comparisons: what `compare` cost, beside all other figures.
    """

    job: str
    at: datetime
    is_working: bool
    items: dict[str, int]
    fixed: int
    failures: tuple[Failure, ...]
    total: Tally
    latency: Latency | None
    models: tuple[ModelLine, ...]
    outcomes: tuple[OutcomeLine, ...]
    runs: tuple[RunLine, ...]
    days: tuple[DayLine, ...]
    open: OpenAttempts
    agreement: tuple[AgreementLine, ...]
    bad_rows: BadRows
    last_reason: str | None
    results: str | None
    steps: tuple[StepLine, ...]
    saved: Saved
    costliest: tuple[CostlyLine, ...]
    limits: tuple[LimitUse, ...]
    timeline: Timeline | None
    distributions: Distributions
    advice: tuple[Advice, ...]
    comparisons: tuple[ComparedCost, ...]
    policies: tuple[PolicyLine, ...]

    @property
    def last_run(self) -> RunLine | None:
        """The run of now, or the last one."""
        return self.runs[-1] if self.runs else None

    @property
    def item_count(self) -> int:
        """Selected items, whatever their state."""
        return sum(self.items.values())


def day_of(number: int) -> date:
    """The day of so many days after 1970-01-01."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).date()
