"""News of a run, as they are sent to somebody: counts, costs, reasons; no prompt and no answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from batchai.domain import NO_COST, State
from batchai.reports.reasons import why_ended
from batchai.reports.words import usd


class News(StrEnum):
    """What somebody may be told of."""

    ENDED = "ended"
    STOPPED = "stopped"  # by itself, not by the user
    STALLED = "stalled"
    BUDGET_50 = "budget_50"
    BUDGET_90 = "budget_90"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """Where a run stands; its JSON is `json_line` of it. Costs in USD.

    items: selected ones by state; failures: by kind. reason: why it stopped, or what it waits for.
    exit_code: None while it works. next: what to type. text: one line for a person, under the name
    that many services look for.
    """

    event: News
    job: str
    at: datetime
    run: int | None = None
    reason: str | None = None
    exit_code: int | None = None
    items: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal = NO_COST
    unconfirmed_usd: Decimal = NO_COST
    budget_usd: Decimal | None = None
    next: str | None = None
    text: str = ""


def worded(notice: Notice) -> Notice:
    """The same with its `text`."""
    parts = [f"{notice.job}: {_what(notice)}"]
    if notice.items:
        parts.append(f"{notice.items.get(State.SUCCEEDED, 0):,} succeeded")
        parts += [f"{number:,} {kind}" for kind, number in notice.failures.items()]
        if pending := notice.items.get(State.PENDING, 0):
            parts.append(f"{pending:,} to do")
        of = "" if notice.budget_usd is None else f" of {usd(notice.budget_usd)}"
        parts.append(f"{usd(notice.cost_usd)}{of}")
    if notice.next is not None:
        parts.append(f"next: {notice.next}")
    return replace(notice, text=" · ".join(parts))


def _what(notice: Notice) -> str:
    match notice.event:
        case News.ENDED:
            return "finished"
        case News.STOPPED:
            return why_ended(notice.reason)
        case News.STALLED:
            return f"nothing moves: {notice.reason}"
        case News.BUDGET_50:
            return "half of the budget is used up"
        case News.BUDGET_90:
            return "nine tenths of the budget are used up"
        case News.TEST:
            return "a test of batchai, all is well"
