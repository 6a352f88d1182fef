"""Our share of one limit of the account: most of it, less whatever the other users take.

What the others take shows in what remains. Of a limit of 100 with 30 remaining and 50 that are
ours, 20 are theirs: our window may hold what remains and what is ours, less a reserve. Both are
taken at the moment when the request left that brought the news, so late news misleads little.
"""

import math

from batchai.domain import Standing
from batchai.limits.bursts import Bursts
from batchai.limits.refill import PERIOD_SECONDS, Refill, RefillWatch
from batchai.limits.windows import Obstacle, SlidingWindow

OURS = 0.8  # of a limit, at most
STEADY_RESERVED = 0.5  # of a bucket: what flows in can all be used, whatever the level
AT_ONCE_RESERVED = 0.06  # for a burst just before a fixed window ends
LEAST_RESERVED = 0.05  # of a sliding window
MOST_RESERVED = 0.2
DOUBT = 0.1  # is reserved of a sliding window of which little is known
DOUBT_SECONDS = 40.0  # in which the caution of the beginning fades to a third
PRUDENCE = 2.0  # times a typical burst of the others is reserved: beyond that they are rare
CATCH_UP = 0.7  # a sliding window is filled at most so much faster than it empties
LEAST_PACE = 0.05  # of a limit
PROBED = 0.02  # of a limit is spent on looking, when nothing else may leave
LEAST_PROBE_SECONDS = 2.0
BURST_SECONDS = 0.25  # of the pace may leave at once: a wake-up that late is made up


class Share:
    """Our share of one limit per minute.

    measure: which amounts it is about; window: ours. is_given: the user has set a limit of his own
    for it, so that the account's is only a bound and not shared.
    """

    __slots__ = (
        "_base",
        "_bursts",
        "_ceiling",
        "_debt",
        "_debt_at",
        "_doubt",
        "_is_given",
        "_known_at",
        "_pace",
        "_refill",
        "_reserve",
        "_window",
        "asof",
        "limit",
        "measure",
    )

    def __init__(self, measure: str, window: SlidingWindow, *, limit: int, is_given: bool) -> None:
        self.measure = measure
        self.limit = limit
        self.asof = -math.inf  # when the newest news was true
        self._window = window
        self._is_given = is_given
        self._ceiling = limit if is_given else OURS * limit
        self._pace = self._ceiling / PERIOD_SECONDS
        self._debt = self._debt_at = 0.0
        self._refill = RefillWatch()
        self._known_at = 0.0  # since when
        self._bursts = Bursts()
        self._base = self._doubt = self._reserve = 0.0

    def learn(self, standing: Standing, *, ours: float, at: float) -> None:
        """Take news that was true `at`, when our window held `ours`; never older than the last."""
        self._refill.watch(standing, at)
        self._base = standing.remaining + ours
        if self.asof == -math.inf:  # what does not remain is the others', or ours to keep
            self._known_at = at
            self._doubt = min(DOUBT, standing.remaining / self.limit)
        self._bursts.watch(self.limit - self._base, at)
        self.asof = at
        self._reserve = self._reserved(at)

    def obstacle(
        self, amount: float, *, used: float, now: float, sent_at: float
    ) -> Obstacle | None:
        """None when `amount` may leave on top of the `used`; `sent_at` is when anything last did.

        A request larger than our share leaves when nothing else counts any more.
        """
        level = self._level(used, now)
        if self._refill.kind is Refill.SLIDING:
            self._set_pace(level, used)
        ahead = self._debt - (now - self._debt_at) * self._pace - BURST_SECONDS * self._pace
        if ahead > 0:
            return self._obstacle(ahead / self._pace)
        excess = used + min(amount, self._ceiling, self.limit - self._reserve) - level
        if excess <= 0:
            return None
        wait = self._window.seconds_until_free(self.measure, excess, now)
        if level < self._ceiling:  # others may leave room without our hearing of it
            wait = min(wait, sent_at + self._probe_seconds() - now)
        return self._obstacle(wait) if wait > 0 else None

    def take(self, amount: float, now: float) -> None:
        """Pace what leaves: providers may enforce 60 a minute as one a second."""
        self._debt = max(0.0, self._debt - (now - self._debt_at) * self._pace) + amount
        self._debt_at = now

    def _reserved(self, at: float) -> float:
        """What stays free for the others' bursts."""
        match self._refill.kind:
            case _ if self._is_given:
                share = 0.0
            case Refill.STEADY:
                share = STEADY_RESERVED
            case Refill.AT_ONCE:
                share = AT_ONCE_RESERVED
            case Refill.SLIDING:
                known_for = at - self._known_at
                doubt = self._doubt * math.exp(-known_for / DOUBT_SECONDS)
                bursts = PRUDENCE * self._bursts.size / self.limit
                share = min(MOST_RESERVED, max(LEAST_RESERVED, doubt, bursts))
        return share * self.limit

    def _level(self, used: float, now: float) -> float:
        """The most that our window may hold now."""
        if self._is_given:
            return self._ceiling
        level = self._base - self._reserve
        if self._refill.kind is Refill.AT_ONCE:
            level -= self._kept_for_later(used, now)
        return min(self._ceiling, level)

    def _kept_for_later(self, used: float, now: float) -> float:
        """What a fixed window's rest should find: it does not refill before its end."""
        left = (self._refill.resets_at or now) - now
        kept = 0.0
        if left < 0:  # a new one has begun, of which nothing is known yet: all remains
            kept = self._base - self.limit - used
            left += PERIOD_SECONDS
        return kept + (self.limit - self._reserve) * max(0.0, left) / PERIOD_SECONDS

    def _set_pace(self, level: float, used: float) -> None:
        """Fill a sliding window evenly: only then it empties evenly when others need room."""
        amount = min(self._ceiling, max(LEAST_PACE * self.limit, level + CATCH_UP * used))
        self._pace = amount / PERIOD_SECONDS

    def _probe_seconds(self) -> float:
        seconds = PERIOD_SECONDS / (PROBED * self.limit)
        return min(PERIOD_SECONDS, max(LEAST_PROBE_SECONDS, seconds))

    def _obstacle(self, wait_seconds: float) -> Obstacle:
        return Obstacle(f"{self.measure.replace('_', ' ')} per minute of the account", wait_seconds)
