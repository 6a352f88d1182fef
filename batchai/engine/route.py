"""The route of items through the steps: what each asks next, and what its answers lead to."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from batchai.domain import Outcome, State
from batchai.engine.canary import Failure
from batchai.engine.duplicates import Duplicates
from batchai.engine.flow import Flow, Piece
from batchai.engine.lanes import Station
from batchai.engine.scan import UNRENDERABLE
from batchai.engine.splitting import Halves, was_divided
from batchai.engine.watch import Where
from batchai.engine.worker import Work
from batchai.errors import TemplateError
from batchai.prompts import Asked, is_same_request
from batchai.spec.models import Split
from batchai.store.ledger import StepEnd
from batchai.store.rows import PartRow, PendingItem
from batchai.store.values import from_json

_PASSED = frozenset({State.SUCCEEDED, State.SKIPPED})


class Route:
    """Brings items from step to step; requests that are ready are put at the steps' stations.

    settled: told of each item that has come to its end, with the outcome that it failed with, if
    it did. failed_unsent: told of each failure that was not an attempt's.
    """

    def __init__(
        self,
        stations: Sequence[Station],
        *,
        settled: Callable[[int, str | None], None],
        failed_unsent: Callable[[Station, Where, Failure], None],
    ) -> None:
        self._stations = stations
        self._settled = settled
        self._failed_unsent = failed_unsent

    async def begin(self, item: PendingItem) -> None:
        """Take an item to the step that it waits for, with the results of those before."""
        flow = Flow(item)
        for station in self._stations:
            known = item.steps.get((station.step.name, 0))
            if known is None or known.state not in _PASSED:
                break
            flow.results[station.step.name] = _result(known)
            flow.at += 1
        await self._go_on(flow)

    async def passed(self, work: Work, end: StepEnd) -> None:
        """A request has its result: the item goes on."""
        flow = work.flow
        station = self._stations[flow.at]
        if flow.way is None:
            await self._release(station, flow.fingerprint)
            flow.results[station.step.name] = end.result
            flow.at += 1
            await self._go_on(flow)
            return
        flow.note(work.part, end.outcome, end.error)
        flow.way.take(work.part, end.result)
        await self._go_through(station, flow)

    async def failed(self, work: Work, outcome: str, detail: str) -> None:
        """A request has failed, and so has its step as soon as its other parts are done."""
        flow = work.flow
        station = self._stations[flow.at]
        if flow.way is None:
            self._settled(flow.item.item_id, outcome)
            await self._release(station, flow.fingerprint)
            return
        flow.way.fail(work.part, outcome, detail)
        await self._go_through(station, flow)

    async def divide(self, work: Work, keeps: float) -> bool:
        """A request does not fit and is asked in parts; whether it can be."""
        flow = work.flow
        station = self._stations[flow.at]
        way = station.halves(work, keeps)
        if way is None:
            return False
        if way is not flow.way:
            flow.enter(way, work.fingerprint)
            flow.notes.append((Outcome.TOO_LONG.value, way.note))
        await self._go_through(station, flow)
        return True

    async def fail_unsent(
        self, station: Station, work: Work, outcome: Outcome, detail: str
    ) -> None:
        """A request cannot be sent at all."""
        await station.worker.fail_unsent(
            work.flow.item.item_id, work.part, work.fingerprint, outcome.value, detail
        )
        self._failed_unsent(station, work.where, Failure(outcome.value, detail))
        await self.failed(work, outcome.value, detail)

    async def _go_on(self, flow: Flow) -> None:
        """Make ready what the next step asks; a step that asks nothing is passed over."""
        while flow.at < len(self._stations):
            station = self._stations[flow.at]
            try:
                asked = station.ask(flow)
            except TemplateError as error:
                detail = str(error)
                await self._fail_step(station, flow, UNRENDERABLE, "unrenderable", detail)
                where = (flow.item.item_id, 0)
                self._failed_unsent(station, where, Failure("unrenderable", detail))
                return
            if not await self._passes(station, flow, asked):
                return
            flow.at += 1
        self._settled(flow.item.item_id, None)

    async def _passes(self, station: Station, flow: Flow, asked: Asked) -> bool:
        """Whether the step is over without a request; else its requests are ready now."""
        name, item = station.step.name, flow.item
        known = item.steps.get((name, 0))
        if asked.is_skipped:
            await station.worker.skip(item.item_id, asked.fingerprint)
            flow.results[name] = None
            return True
        if known and known.result and is_same_request(known.fingerprint, asked.fingerprint):
            await station.worker.reuse(item.item_id, asked.fingerprint)
            flow.results[name] = _result(known)
            return True
        flow.enter(station.way(flow, asked), asked.fingerprint)
        if flow.way is None:
            work = _work(station, flow, Piece(0, asked.requests[0], asked.fingerprint), known)
            if station.duplicates is not None:
                return await self._is_spared(station, work, station.duplicates)
            station.put([work])
            return False
        return await self._advance(station, flow)

    async def _is_spared(self, station: Station, work: Work, duplicates: Duplicates) -> bool:
        """Whether an equal request has given the result; else it waits for one, or is ready."""
        if duplicates.waits(work):
            return False
        twin = duplicates.twin(work)
        if twin is None:
            station.put([work])
            return False
        flow = work.flow
        with duplicates.copying():
            await station.worker.copy(flow.item.item_id, work.fingerprint, twin)
        if twin.state is State.FAILED:
            self._settled(flow.item.item_id, twin.outcome)
            return False
        flow.results[station.step.name] = twin.result
        return True

    async def _release(self, station: Station, fingerprint: bytes) -> None:
        """What waited for the request takes its result, or asks in its turn."""
        duplicates = station.duplicates
        if duplicates is None:
            return

        async def again(waiting: Work) -> None:
            if await self._is_spared(station, waiting, duplicates):
                waiting.flow.at += 1
                await self._go_on(waiting.flow)

        await asyncio.gather(*map(again, duplicates.settled(fingerprint)))  # one commit for all

    async def _go_through(self, station: Station, flow: Flow) -> None:
        """A part is done: the others go on, or after the last one the item."""
        if await self._advance(station, flow):
            await self._release(station, flow.fingerprint)
            flow.at += 1
            await self._go_on(flow)

    async def _advance(self, station: Station, flow: Flow) -> bool:
        """Make the next parts of the step ready; True when it is over and has its result."""
        way = flow.way
        assert way is not None
        while pieces := way.next():
            to_send = [piece for piece in pieces if not _is_known(flow, station, piece)]
            if to_send:
                await self._put(station, flow, to_send)
        if not way.is_over:
            return False
        item_id = flow.item.item_id
        if way.failure is not None:
            failure = way.failure
            await self._fail_step(station, flow, flow.fingerprint, failure.outcome, failure.detail)
            await self._release(station, flow.fingerprint)
            return False
        if isinstance(way, Halves) and way.joins:
            problem = await station.worker.problem(flow, way.result)
            if problem is not None:
                detail = f"the joined answers: {problem}"
                await self._fail_step(station, flow, flow.fingerprint, "invalid", detail)
                await self._release(station, flow.fingerprint)
                return False
        await station.worker.gather(item_id, flow.fingerprint, way.result, flow.noted)
        flow.results[station.step.name], flow.way = way.result, None
        return True

    async def _put(self, station: Station, flow: Flow, pieces: Sequence[Piece]) -> None:
        begun: list[Work] = []
        to_begin: list[Piece] = []
        for piece in pieces:
            row = flow.item.steps.get((station.step.name, piece.part))
            if row is None or not _is_begun(row, piece):
                to_begin.append(piece)
                row = row and replace(row, tried=0)  # what another request came to tells nothing
            begun.append(_work(station, flow, piece, row))
        if to_begin:
            parts = [(piece.part, piece.fingerprint) for piece in to_begin]
            await station.worker.begin_parts(flow.item.item_id, parts)
        for condenses, where in ((False, station), (True, station.condenser)):
            works = [
                work
                for work, piece in zip(begun, pieces, strict=True)
                if piece.condenses is condenses
            ]
            if works and where is not None:
                put = where.put_first if isinstance(flow.way, Halves) else where.put
                put(works)

    async def _fail_step(
        self, station: Station, flow: Flow, fingerprint: bytes, outcome: str, detail: str
    ) -> None:
        await station.worker.fail_unsent(flow.item.item_id, 0, fingerprint, outcome, detail)
        self._settled(flow.item.item_id, outcome)


def _is_known(flow: Flow, station: Station, piece: Piece) -> bool:
    """Whether an earlier launch has brought just this part to its end; the way is told then."""
    known = flow.item.steps.get((station.step.name, piece.part))
    if known is None or not is_same_request(known.fingerprint, piece.fingerprint):
        return False
    assert flow.way is not None
    if known.state is State.SUCCEEDED:
        flow.note(piece.part, known.outcome or "", known.error)
        flow.way.take(piece.part, _result(known))
        return True
    if known.state is State.FAILED:
        flow.way.fail(piece.part, known.outcome or "", known.error)
        return True
    return False


def _is_begun(known: PartRow, piece: Piece) -> bool:
    """Whether an earlier launch has begun just this part, and not come to its end."""
    return known.state is State.PENDING and is_same_request(known.fingerprint, piece.fingerprint)


def _work(station: Station, flow: Flow, piece: Piece, known: PartRow | None) -> Work:
    attempts, tried = (known.attempts, known.tried) if known else (0, 0)
    return Work(
        flow,
        piece.part,
        piece.rendered,
        piece.fingerprint,
        attempts + 1,
        tried,
        excerpt=piece.excerpt,
        was_split=known is not None and _was_split(station, flow, piece, known),
    )


def _was_split(station: Station, flow: Flow, piece: Piece, known: PartRow) -> bool:
    return (
        isinstance(station.step.policies.on_too_long, Split)
        and is_same_request(known.fingerprint, piece.fingerprint)
        and was_divided(flow.item.steps, station.step.name, piece.part)
    )


def _result(known: PartRow) -> Any:
    return None if known.result is None else from_json(known.result)
