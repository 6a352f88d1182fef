"""Where work waits: a station for each step, and a lane for each account, with its gate."""

import heapq
from asyncio import Event
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import assert_never

from batchai.engine.caching import Warmth
from batchai.engine.duplicates import Duplicates
from batchai.engine.flow import Flow, Way
from batchai.engine.outage import Outage
from batchai.engine.splitting import Halves, division
from batchai.engine.step import PreparedStep
from batchai.engine.watch import Watch
from batchai.engine.ways import Fan, Talk
from batchai.engine.worker import Work, Worker
from batchai.errors import TemplateError
from batchai.limits import Gate
from batchai.prompts import Asked, Kind
from batchai.spec.models import Split


@dataclass(frozen=True, slots=True)
class ToReduce:
    """A group as a reduction takes it on. fingerprint: of the whole."""

    fingerprint: bytes
    tree: Callable[[], Way]


@dataclass(slots=True)
class Station:
    """A step at work: its worker, and the requests that are ready to be sent.

    condenser: where summaries of its conversations are made. ladder: the step at each of the models
    that it may ask, by their numbers, itself among them; empty where there is but one. duplicates:
    of equal requests one is sent; None: each is.
    """

    worker: Worker
    lane: "Lane"
    watch: Watch | None
    warmth: Warmth
    condenser: "Station | None" = None
    groups: Mapping[int, "ToReduce"] | None = None  # of a reduction, by item
    ladder: "tuple[Station, ...]" = ()
    duplicates: Duplicates | None = None
    in_flight: int = 0
    ready: deque[Work] = field(default_factory=deque)

    @property
    def step(self) -> PreparedStep:
        """The step that is done here."""
        return self.worker.step

    def at(self, asker: int) -> "Station":
        """Where the model of this number is asked."""
        return self.ladder[asker] if self.ladder else self

    def put_first(self, works: Sequence[Work]) -> None:
        """Requests of an item that has begun are ready: they go before those of new items."""
        for work in works:
            self.lane.retry(self, work, due=0.0)

    def halves(self, work: Work, keeps: float) -> Halves | None:
        """The way of a request that is to be asked in parts; None where it cannot be."""
        split = self.step.policies.on_too_long
        found = division(work.flow, work.rendered, work.part, work.excerpt, keeps=keeps)
        if found is None or not isinstance(split, Split):
            return None
        if isinstance(way := work.flow.way, Halves):
            way.divide(work.part, found.times)
            return way
        fingerprint = self.step.asking.prompts.fingerprint
        return Halves(work.rendered, fingerprint, found, into_one=split.into)

    def ask(self, flow: Flow) -> Asked:
        """What the step asks for an item; raises TemplateError."""
        if self.groups is not None:
            return Asked((), self.groups[flow.item.item_id].fingerprint)
        if flow.item.row is None:
            raise TemplateError("its row is not in the store")
        return self.step.asking.of(flow.item.row, flow.results)

    def way(self, flow: Flow, asked: Asked) -> Way | None:
        """How the step goes through its parts; None: it is its one request."""
        if self.groups is not None:
            return self.groups[flow.item.item_id].tree()
        asking = self.step.asking
        match asking.kind:
            case Kind.ONE:
                return None
            case Kind.EACH:
                return Fan(asked, asking.prompts.fingerprint)
            case Kind.TURNS:
                condenser = self.step.condenser
                if condenser is None:
                    return Talk(asked, asking.prompts.fingerprint)
                condense = condenser.step.asking.prompts.fingerprint
                return Talk(
                    asked, asking.prompts.fingerprint, condense=condense, after=condenser.after
                )
            case _:
                assert_never(asking.kind)

    @property
    def admits(self) -> bool:
        """Whether new work may begin: the watch allows it, and the provider's cache is warm."""
        is_allowed = self.watch is None or self.watch.may_begin
        return is_allowed and self.warmth.admits(self.in_flight)

    def may_ask(self, work: Work) -> bool:
        """Whether the watch lets work be asked again."""
        return self.watch is None or self.watch.may_ask(work.where)

    def put(self, works: Sequence[Work]) -> None:
        """Requests are ready."""
        self.ready.extend(works)
        self.lane.wake.set()


def lanes_of(stations: Sequence[Station]) -> "list[Lane]":
    """The lanes that stations, and those that work for them, stand at; each once."""
    lanes = [station.lane for station in stations]
    lanes += [station.condenser.lane for station in stations if station.condenser]
    lanes += [further.lane for station in stations for further in station.ladder]
    return list(dict.fromkeys(lanes))


class Lane:
    """One account: the gate to it, the steps that are sent through it, what waits to be retried.

    An item that waits for its retry is in a heap and holds no slot.
    """

    def __init__(self, gate: Gate, outage: Outage) -> None:
        self.gate = gate
        self.outage = outage
        self.wake = Event()
        self.stations: list[Station] = []
        self._waiting: list[tuple[float, int, Station, Work]] = []  # due time, ticket, …
        self._held: deque[tuple[Station, Work]] = deque()  # due, and held back by the watch
        self._tickets = count()

    @property
    def in_flight(self) -> int:
        """Attempts that are not recorded yet."""
        return sum(station.in_flight for station in self.stations)

    @property
    def waiting(self) -> int:
        """How many requests wait for a retry."""
        return len(self._waiting) + len(self._held)

    @property
    def waits_for(self) -> str | None:
        """What keeps the next request back, in words; None while it goes on."""
        return self.outage.waits_for or self.gate.waiting_for

    @property
    def due(self) -> float | None:
        """When the next retry is due, on the monotonic clock."""
        return self._waiting[0][0] if self._waiting else None

    def retry(self, station: Station, work: Work, *, due: float) -> None:
        """Another attempt, not before `due`."""
        heapq.heappush(self._waiting, (due, next(self._tickets), station, work))
        self.wake.set()

    def pop(self, now: float) -> tuple[Station, Work] | None:
        """The retry that is due longest, else what is ready; the last step goes first."""
        if (found := self._due(now)) is not None:
            return found
        for station in reversed(self.stations):
            if station.ready and station.admits:
                if station.watch is not None:
                    station.watch.begin()
                return station, station.ready.popleft()
        return None

    def _due(self, now: float) -> tuple[Station, Work] | None:
        """The retry that is due longest and may be sent; those that may not wait their turn.

        What comes back is due before what was held back: items are asked to their end one after
        the other, so that few of them decide whether the job is broken.
        """
        while self._waiting and self._waiting[0][0] <= now:
            _, _, station, work = heapq.heappop(self._waiting)
            if station.may_ask(work):
                return station, work
            self._held.append((station, work))
        if self._held and self._held[0][0].may_ask(self._held[0][1]):
            return self._held.popleft()
        return None
