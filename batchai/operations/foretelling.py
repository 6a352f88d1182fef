"""What a run is expected to come to, told before it begins, so that its report can hold it to that.

Counting all of a large input first would hold the run up. So its first items are looked at, with
what the job did before; once the run knows how many items it sends, their sums are multiplied.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from batchai.domain import NO_COST, Estimate
from batchai.engine.progress import Progress
from batchai.operations.estimating import done_before, estimate
from batchai.operations.opening import Opened
from batchai.operations.survey import Survey, Surveyor
from batchai.store import Store

MOST_TRIED = 50  # attempts of a run that `batchai try` has begun; with more it is under way
_LOOKED_AT = 200  # items


class Foretelling:
    """What is known before the run; builds on nothing that the run itself does.

    survey: of all that it would send, where somebody has counted already. spent: by the run before,
    in USD.
    """

    def __init__(self, found: Opened, survey: Survey | None, *, spent: Decimal = NO_COST) -> None:
        self._spent = spent
        reader = found.store.reader
        self._limits = found.job.limits
        self._steps = found.steps
        self._surveyor = Surveyor(found.steps, reader=reader, clock=found.clock)
        self._survey = survey
        self._sample = self._surveyor.of_some(found.source.head()[:_LOOKED_AT])
        self._done = done_before(reader, found.steps)
        self._latency = reader.mean_latency()
        self._at: datetime = found.clock.utcnow()

    def keep(self, store: Store, run_id: int, progress: Progress) -> None:
        """Keep it for the run's report."""
        if (made := self.of(progress)) is not None:
            store.keep_estimate(run_id, made)

    def of(self, progress: Progress) -> Estimate | None:
        """The estimate of the whole run; None as long as its items are not counted."""
        items = progress.to_send - progress.groups
        if not progress.is_counted or items <= 0 or not self._sample.to_send:
            return None
        survey = self._survey
        if survey is None or survey.to_send != items:
            survey = self._surveyor.extended(self._sample, items)
        made = estimate(
            survey,
            self._surveyor,
            done=self._done,
            steps=self._steps,
            limits=self._limits,
            latency_seconds=self._latency,
            at=self._at,
        )
        low, high = made.cost_low_usd, made.cost_high_usd
        return replace(
            made,
            cost_usd=made.cost_usd + self._spent,
            cost_low_usd=None if low is None else low + self._spent,
            cost_high_usd=None if high is None else high + self._spent,
        )
