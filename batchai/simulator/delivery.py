"""How a reply reaches the client, or fails to."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from batchai.simulator.faults import Fault

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close sends RST
_FLUSH_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Wire:
    """A reply as bytes. events: what of the body is sent at a time, where it is streamed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    events: Sequence[bytes] = ()
    event_seconds: float = 0.0


def streamed(events: Sequence[bytes], headers: Mapping[str, str], *, seconds: float) -> Wire:
    """A stream of server-sent events that takes so long from the first to the last."""
    body = b"".join(events)
    pause = seconds / len(events)
    return Wire(200, body, headers, "text/event-stream", events=events, event_seconds=pause)


class Departures:
    """Tells when a client has closed its connection."""

    def __init__(self) -> None:
        self._awaited: dict[object, asyncio.Event] = {}

    async def wait(self, http: web.BaseRequest) -> None:
        """Returns when the client of the request has left."""
        if http.transport is not None:
            await self._awaited.setdefault(http.protocol, asyncio.Event()).wait()

    def note(self, connection: object) -> None:
        """The connection was closed."""
        if event := self._awaited.pop(connection, None):
            event.set()


class Delivery:
    """Sends replies as faults have it."""

    def __init__(self, departures: Departures, *, drip_seconds: float) -> None:
        self._departures = departures
        self._drip_seconds = drip_seconds

    async def deliver(
        self, http: web.BaseRequest, wire: Wire, fault: Fault | None
    ) -> web.StreamResponse:
        """Send the reply; what is returned is left for aiohttp to finish."""
        match fault:
            case Fault.HANG:
                await self._departures.wait(http)
            case Fault.RESET:
                _reset(http)
            case Fault.STALL | Fault.RESET_MID_BODY | Fault.DRIP:
                return await self._in_parts(http, wire, fault)
            case Fault.CUT_BODY:
                return _whole(wire, wire.body[: len(wire.body) // 2])
        if wire.events:
            return await self._streamed(http, wire)
        return _whole(wire, wire.body)

    async def _streamed(self, http: web.BaseRequest, wire: Wire) -> web.StreamResponse:
        response = web.StreamResponse(status=wire.status, headers=wire.headers)
        response.content_type = wire.content_type
        with contextlib.suppress(ConnectionError):  # the client may leave at any moment
            await response.prepare(http)
            for event in wire.events:
                await response.write(event)
                if wire.event_seconds:
                    await asyncio.sleep(wire.event_seconds)
        return response

    async def _in_parts(
        self, http: web.BaseRequest, wire: Wire, fault: Fault
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=wire.status, headers=wire.headers)
        response.content_type = wire.content_type
        if not wire.events:
            response.content_length = len(wire.body)
        with contextlib.suppress(ConnectionError):  # the client may leave at any moment
            await response.prepare(http)
            if fault is Fault.DRIP:
                await self._drip(response, wire.body)
                return response
            await response.write(wire.body[: len(wire.body) // 2])
            if fault is Fault.STALL:
                await self._departures.wait(http)
            # a reset overtakes what the client has not read yet: let the half body arrive first
            await asyncio.sleep(_FLUSH_SECONDS)
            _reset(http)
        return response

    async def _drip(self, response: web.StreamResponse, body: bytes) -> None:
        for at in range(len(body)):
            await response.write(body[at : at + 1])
            await asyncio.sleep(self._drip_seconds)


def _reset(http: web.BaseRequest) -> None:
    if http.transport is None:
        return
    connection = http.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    http.transport.abort()


def _whole(wire: Wire, body: bytes) -> web.Response:
    return web.Response(
        status=wire.status, body=body, headers=wire.headers, content_type=wire.content_type
    )
