"""An evening on a shared account: its other users, and one client of ours beside them."""

import random
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchai.domain import LimitNotice
from tests.drills.neighbour.account import Load, Provider
from tests.drills.neighbour.others import Habits, arrivals
from tests.virtual import START_SECONDS, VirtualClock, run_virtual

MEDIAN_SECONDS = 1.0  # of our requests; the provider's word on limits is as old as they are
COMING = 60.0  # seconds until we come; the others have been there
WARM_UP = 180.0  # seconds until the figures begin
OTHERS_LOAD = Load(100, 60, max_tokens=100)
OURS = 0.8  # of a limit is what the gate may use

Measure = Callable[[Load], float]


def requests(_load: Load) -> float:
    """Each counts once."""
    return 1


@dataclass(slots=True)
class Side:
    """What became of one side's requests after the warm-up; `by_minute` sums up the served."""

    measure: Measure = requests
    asked: int = 0
    refused: int = 0
    by_minute: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def count(self, now: float, load: Load, *, is_refused: bool) -> None:
        """Take one in."""
        if now < WARM_UP:
            return
        self.asked += 1
        self.refused += is_refused
        if not is_refused:
            self.by_minute[int(now // 60)] += self.measure(load)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: how long to wait if it is a refusal (else 0), and its headers."""

    retry_after: float
    notice: LimitNotice


class Evening:
    """The account, the others' requests at their `times`, and what became of everybody's.

    measure: what the tightest limit counts.
    """

    def __init__(
        self,
        provider: Provider,
        times: Sequence[float],
        *,
        seconds: float,
        measure: Measure = requests,
        seed: int = 0,
    ) -> None:
        self.clock = VirtualClock()
        self.seconds = seconds
        self.rng = random.Random(seed)
        self.ours = Side(measure)
        self.others = Side(measure)
        self._provider = provider
        self._times = times
        self._next = 0

    def now(self) -> float:
        """Seconds since the evening began."""
        return self.clock.monotonic() - START_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether it is time to go."""
        return self.now() >= self.seconds

    async def ask(self, load: Load) -> Answer:
        """One request of ours: the way there, the work, the way back."""
        await self.clock.sleep(self.rng.uniform(0.01, 0.05))
        now = self.now()
        self.let_others(now)
        wait = self._provider.admit(now, load)
        notice = self._provider.notice(now)
        self.ours.count(now, load, is_refused=wait > 0)
        if wait <= 0:
            await self.clock.sleep(MEDIAN_SECONDS * self.rng.lognormvariate(0, 0.4))
            self.let_others(self.now())
            self._provider.written(self.now(), load)
        return Answer(wait, notice)

    def let_others(self, now: float) -> None:
        """Play what the others sent until now."""
        while self._next < len(self._times) and self._times[self._next] <= now:
            time = self._times[self._next]
            self._next += 1
            wait = self._provider.admit(time, OTHERS_LOAD)
            self.others.count(time, OTHERS_LOAD, is_refused=wait > 0)
            if wait <= 0:
                self._provider.written(time, OTHERS_LOAD)


Client = Callable[[Evening], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Account:
    """A kind of account. limit: of what `measure` counts, in a minute; it is the tightest."""

    make: Callable[[], Provider]
    limit: float
    measure: Measure = requests


@dataclass(slots=True)
class Score:
    """Sums over evenings. left: what we could have used; harmed: the others' additional 429s."""

    used: float = 0.0
    left: float = 0.0
    harmed: int = 0
    asked: int = 0

    @property
    def used_share(self) -> float:
        """Of the leftover capacity."""
        return self.used / self.left

    @property
    def harmed_share(self) -> float:
        """Of the others' requests."""
        return self.harmed / self.asked


def play(
    account: Account, client: Client, *, requests: int, seconds: float, seeds: Iterable[int]
) -> Score:
    """Evenings of the others beside a client, and the same without. requests: as many in a minute
    are all that the others' habits are shares of."""
    score = Score()
    for seed in seeds:
        times = arrivals(Habits(), requests, seconds=seconds, seed=seed)
        evening = Evening(
            account.make(), times, seconds=seconds, measure=account.measure, seed=seed
        )
        run_virtual(_come_later(evening, client))
        evening.let_others(seconds)
        quiet = Evening(account.make(), times, seconds=seconds, measure=account.measure)
        quiet.let_others(seconds)
        score.used += sum(evening.ours.by_minute.values())
        score.left += _leftover(account.limit, quiet.others, seconds)
        score.harmed += evening.others.refused - quiet.others.refused
        score.asked += evening.others.asked
    return score


async def _come_later(evening: Evening, client: Client) -> None:
    await evening.clock.sleep(COMING)
    await client(evening)


def _leftover(limit: float, others: Side, seconds: float) -> float:
    """What the others leave in each minute, of 80 % of the limit at most."""
    minutes = range(int(WARM_UP // 60), int(seconds // 60))
    return sum(max(0.0, min(OURS * limit, limit - others.by_minute[n])) for n in minutes)
