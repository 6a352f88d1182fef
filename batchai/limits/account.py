"""What the account allows, learnt from replies, beside what the user allows."""

import math
from typing import NamedTuple

from batchai.domain import LimitNotice, Standing
from batchai.limits.estimate import Calibration
from batchai.limits.share import Share
from batchai.limits.windows import Obstacle, SlidingWindow

_LONGEST_RESET_SECONDS = 90.0  # of a limit per minute; what takes longer is per day
_LONGER_ANSWERS = 1.2  # than they were so far are expected


class Mark(NamedTuple):
    """Where things stood when a request had left; what its reply says is true of that moment.

    unwritten: of the window's output tokens, those that are only reserved.
    """

    at: float
    requests: int
    input_tokens: int
    output_tokens: int
    unwritten: int


class Account:
    """Our shares of the limits that replies name; empty, and in nobody's way, until one does.

    What the user has set for a limit counts: it is only bounded by the account's, not shared.
    Limits per day are left to the user, and to the provider's refusals.
    """

    def __init__(self, window: SlidingWindow) -> None:
        self._window = window
        self._shares: dict[str, Share] = {}  # by measure
        self._unwritten = 0
        self._written = Calibration()  # of what was reserved for answers
        self._sent_at = -math.inf

    def obstacle(self, now: float, input_tokens: int, output_tokens: int) -> Obstacle | None:
        """The first share that has no room for such a request now."""
        for share in self._shares.values():
            obstacle = share.obstacle(
                self._amount(share.measure, input_tokens, output_tokens),
                used=self._used(share.measure),
                now=now,
                sent_at=self._sent_at,
            )
            if obstacle is not None:
                return obstacle
        return None

    def take(self, now: float, input_tokens: int, output_tokens: int) -> Mark:
        """Count a request that the window holds already; returns what its reply is read with."""
        self._sent_at = now
        self._unwritten += output_tokens
        for share in self._shares.values():
            share.take(self._amount(share.measure, input_tokens, output_tokens), now)
        window = self._window
        return Mark(
            now, window.requests, window.input_tokens, window.output_tokens, self._unwritten
        )

    def end(self, *, reserved: int, written: int) -> None:
        """A request is over that had reserved output tokens; 0 are written without an answer."""
        self._unwritten -= reserved
        if written:
            self._written.observe(estimate=reserved, actual=written)

    def heed(self, notice: LimitNotice, mark: Mark) -> None:
        """Learn from the reply to the request of `mark`; news that are older change nothing."""
        self._learn("requests", notice.requests, mark)
        self._learn("input_tokens", notice.input_tokens, mark)
        self._learn("output_tokens", notice.output_tokens, mark)
        self._learn("tokens", notice.tokens, mark)

    def forget(self) -> None:
        """Learn anew, since the user's limits have changed."""
        self._shares = {}

    def _learn(self, measure: str, standing: Standing | None, mark: Mark) -> None:
        if standing is None or not 0 <= standing.remaining <= standing.limit or not standing.limit:
            return
        if (standing.reset_seconds or 0.0) > _LONGEST_RESET_SECONDS:
            return
        cap = getattr(self._window.caps, measure)
        if cap is not None and cap <= standing.limit:
            self._shares.pop(measure, None)
            return
        share = self._shares.get(measure)
        if share is None or share.limit != standing.limit:
            share = self._shares[measure] = Share(
                measure,
                self._window,
                limit=standing.limit,
                is_given=cap is not None,
            )
        if mark.at > share.asof:
            share.learn(standing, ours=_counted(measure, mark), at=mark.at)

    def _amount(self, measure: str, input_tokens: int, output_tokens: int) -> float:
        match measure:
            case "requests":
                return 1
            case "input_tokens":
                return input_tokens
            case "output_tokens":
                return output_tokens * self._expected()
            case _:  # as OpenAI counts, who names such a limit
                return max(input_tokens, output_tokens)

    def _used(self, measure: str) -> float:
        window = self._window
        match measure:
            case "requests":
                return window.requests
            case "input_tokens":
                return window.input_tokens
            case "output_tokens":
                return window.output_tokens - self._unwritten * (1 - self._expected())
            case _:
                return window.tokens

    def _expected(self) -> float:
        """The part of what is reserved for an answer that will be written, generously."""
        return min(1.0, self._written.ratio * _LONGER_ANSWERS)


def _counted(measure: str, mark: Mark) -> int:
    """What of ours the provider had counted then: only what is written counts as output."""
    match measure:
        case "requests":
            return mark.requests
        case "input_tokens":
            return mark.input_tokens
        case "output_tokens":
            return mark.output_tokens - mark.unwritten
        case _:
            return mark.input_tokens + mark.output_tokens
