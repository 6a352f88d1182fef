"""The simulator as a real HTTP server on the loopback address: a thread, or on a running loop."""

import asyncio
import threading
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from batchai.errors import ProviderError
from batchai.simulator.record import Rates, Received, Record
from batchai.simulator.service import Service
from batchai.simulator.settings import Settings

HOST = "127.0.0.1"
BACKLOG = 4096
_SHUTDOWN_SECONDS = 0.01  # what hangs on purpose is cancelled after this
_START_SECONDS = 10.0
_DEFAULTS = Settings()


class Simulator:
    """A provider that serves while the block lasts, whatever becomes of its clients.

    `with`: in a thread of its own; all methods may be called from any thread. `async with`: on the
    running loop, so that a loop which skips time skips the server's too; nothing may wait for it.
    ProviderError when the port is taken. What a hook of the settings raised is raised at the end of
    the block.
    """

    def __init__(self, settings: Settings = _DEFAULTS) -> None:
        self._settings = settings
        self._record = Record()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._problem: OSError | None = None
        self._port = 0
        self._loop: asyncio.AbstractEventLoop
        self._service: Service
        self._stop: asyncio.Event
        self._runner: web.ServerRunner

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise ProviderError(
                f"simulator: not started within {_START_SECONDS} s; is the machine busy?"
            )
        if self._problem is not None:
            raise self._cannot_listen(self._problem) from self._problem
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._raise_problem(error)

    async def __aenter__(self) -> Self:
        try:
            await self._listen()
        except OSError as problem:
            raise self._cannot_listen(problem) from problem
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
        self._raise_problem(error)

    # --- where it listens

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self._port}"

    @property
    def anthropic_url(self) -> str:
        """The base URL for the anthropic SDK."""
        return self.url

    @property
    def openai_url(self) -> str:
        """The base URL for the openai SDK."""
        return f"{self.url}/v1"

    # --- what it saw

    @property
    def arrived_count(self) -> int:
        """Requests that arrived, also those that are not kept."""
        return self._record.arrived_count

    @property
    def received(self) -> list[Received]:
        """Everything that asked for an answer, in order of arrival; a copy."""
        return self._record.entries

    @property
    def in_flight_peak(self) -> int:
        """The most requests that were in flight at once."""
        return self._record.in_flight_peak

    @property
    def neighbours_served(self) -> int:
        """Requests of the account's other users that found room."""
        return self._service.judge.neighbours[0]

    @property
    def neighbours_refused(self) -> int:
        """Requests of the account's other users that found none."""
        return self._service.judge.neighbours[1]

    def worst_window(self, seconds: float = 60.0) -> int:
        """The most requests that arrived within any window of that length."""
        return self._record.worst_window(seconds)

    def worst_token_window(
        self, seconds: float = 60.0, kind: Literal["total", "input", "output"] = "total"
    ) -> int:
        """The most tokens billed within any window, each request's at its arrival."""
        return self._record.worst_token_window(seconds, kind)

    def bill(self, rates: Rates | Mapping[str, Rates]) -> Decimal:
        """USD for everything generated, also what no client read; one rate, or one per model."""
        return self._record.bill(rates)

    # --- choosing a moment

    def wait_for(self, count: int, timeout_seconds: float = 60.0) -> None:
        """Block until that many requests have arrived; TimeoutError otherwise."""
        self._record.wait_until(
            lambda: self._record.arrived_count >= count,
            timeout_seconds=timeout_seconds,
            what=f"{count} arrivals",
        )

    def wait_for_served(self, count: int, timeout_seconds: float = 60.0) -> None:
        """Block until that many requests have been decided on; TimeoutError otherwise."""
        self._record.wait_until(
            lambda: self._record.served_count >= count,
            timeout_seconds=timeout_seconds,
            what=f"{count} answers",
        )

    def hold(self) -> None:
        """From now on requests arrive but nothing is answered, until `release`."""
        self._call(self._service.open.clear)

    def release(self) -> None:
        """Answer again, also what waits."""
        self._call(self._service.open.set)

    # --- the server's thread

    def _call(self, action: Any) -> None:
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        try:
            await self._listen()
        except OSError as problem:
            self._problem = problem
            self._ready.set()
            return
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await self._runner.cleanup()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._service = Service(self._settings, self._record)
        self._runner = web.ServerRunner(_Server(self._service), shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, HOST, self._settings.port, backlog=BACKLOG)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]

    def _cannot_listen(self, problem: OSError) -> ProviderError:
        return ProviderError(
            f"simulator: cannot listen on {HOST}:{self._settings.port}: {problem}; "
            "give another port"
        )

    def _raise_problem(self, error: BaseException | None) -> None:
        """The first error of a hook, unless the block ended with one of its own."""
        if error is None and self._service.problem is not None:
            raise self._service.problem


class _Server(web.Server):
    """aiohttp's low-level server, which also takes large bodies and notes who leaves."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.serve, request_factory=self._request, access_log=None)
        self._departures = service.departures

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Called by aiohttp."""
        super().connection_lost(handler, exc)
        self._departures.note(handler)

    def _request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        # no limit here: the service itself answers 413, in the provider's words
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=0
        )
