"""Models on this machine, without an account: `local/smollm2-135m`, `local//path/to/model.gguf`.

llama.cpp's HTTP server (the package xllamacpp, `pip install "batchai[local]"`) runs as a child
process and is spoken to like any OpenAI-compatible server. It starts with the first request, so
that encoding alone (check, plan) neither downloads nor loads anything. It lives until `close`,
through Ctrl-C and SIGTERM, and does not outlive its parent however that ends.
"""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path

from batchai.domain import Outcome, Reply, Request, Usage
from batchai.errors import ProviderError
from batchai.providers.local_process import ModelServer, start_server
from batchai.providers.local_server import LOOPBACK
from batchai.providers.local_weights import SMOLLM2_135M, fetched_weights, user_cache
from batchai.providers.openai_chat import OpenAIChat
from batchai.providers.streaming import Deadlines
from batchai.spec.models import Model

MAX_SLOTS = 4  # more would only share the same cores

_NAMED = {"smollm2-135m": SMOLLM2_135M}


def open_local(model: Model, *, concurrency: int) -> "LocalProvider":
    """The provider of a local model; nothing is downloaded or started yet.

    A name that ends in .gguf is a path, relative to the current directory. The server answers
    min(concurrency, 4) requests at once. Raises ProviderError: no xllamacpp, no such model or file.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ProviderError(
            f'model {model.name}: the package xllamacpp is missing; pip install "batchai[local]"'
        )
    if model.id.endswith(".gguf"):
        if not Path(model.id).is_file():
            raise ProviderError(f"model {model.name}: there is no file {Path(model.id).absolute()}")
    elif model.id not in _NAMED:
        raise ProviderError(
            f"model {model.name}: there is no local model of that name, only "
            f"{', '.join(_NAMED)}; a file of your own is local//path/to/model.gguf"
        )
    slots = max(1, min(concurrency, MAX_SLOTS))
    return LocalProvider(partial(_start, model.id, slots=slots), slots=slots)


class LocalProvider:
    """The OpenAI path to a server that this process starts and ends.

    start: begins a server that answers so many requests at once.
    """

    def __init__(self, start: Callable[[], Awaitable[ModelServer]], *, slots: int) -> None:
        self._start = start
        self._slots = slots
        self._encoder = OpenAIChat(base_url=f"http://{LOOPBACK}/v1", key="unused")  # never sends
        self._free = asyncio.Semaphore(slots)
        self._starting = asyncio.Lock()
        self._running: tuple[ModelServer, OpenAIChat] | None = None

    async def start(self) -> ModelServer:
        """The running server: fetches the weights if need be and starts it, unless that is done.

        Raises ProviderError: the download failed, the file is damaged, the server did not start.
        """
        server, _ = await self._started()
        return server

    def encode(self, request: Request) -> bytes:
        """The body of the request, as it is sent."""
        return self._encoder.encode(request)

    async def send(self, body: bytes, *, deadline_seconds: float) -> Reply:
        """Exactly one HTTP request; the deadline runs from when the server has a slot for it, and
        is as many times longer as there are slots, which share the machine.

        A server that does not start, or has ended, is UNKNOWN_MODEL: it will serve no item.
        """
        seconds = deadline_seconds * self._slots
        return await self._ask(lambda line: line.send(body, deadline_seconds=seconds))

    async def stream(
        self, body: bytes, *, deadlines: Deadlines, on_text: Callable[[str], None]
    ) -> Reply:
        """The same for a request that `is_streamed`; text as it is written."""
        shared = Deadlines(*(self._slots * seconds for seconds in astuple(deadlines)))
        return await self._ask(lambda line: line.stream(body, deadlines=shared, on_text=on_text))

    async def _ask(self, ask: Callable[[OpenAIChat], Awaitable[Reply]]) -> Reply:
        try:
            server, line = await self._started()
        except ProviderError as error:
            return Reply(Outcome.UNKNOWN_MODEL, detail=str(error))
        async with self._free:
            reply = await ask(line)
        if reply.outcome is Outcome.CONNECTION_LOST and (end := await server.ended()):
            return Reply(Outcome.UNKNOWN_MODEL, detail=end)
        return reply

    def counted_input_tokens(self, usage: Usage) -> int:
        """All input."""
        return self._encoder.counted_input_tokens(usage)

    def reconnect(self) -> None:
        """Nothing: the server slept with this process."""

    async def close(self) -> None:
        """End the server and the connections; a second call does nothing."""
        await self._encoder.close()
        async with self._starting:
            running, self._running = self._running, None
        if running is not None:
            server, line = running
            await line.close()
            await server.stop()

    async def _started(self) -> tuple[ModelServer, OpenAIChat]:
        async with self._starting:
            if self._running is None:
                server = await self._start()
                self._running = server, OpenAIChat(base_url=server.base_url, key=server.api_key)
            return self._running


async def _start(name: str, *, slots: int) -> ModelServer:
    file = Path(name)
    if weights := _NAMED.get(name):
        file = await fetched_weights(weights, user_cache())
    else:
        name = file.stem
    return await start_server(file, model_name=name, slots=slots)
