"""The slots of a local model's server: never more requests than it has, and time for each of them.

The server is the simulator, which speaks the same protocol; a process stands for the model's.
"""

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from batchai.domain import Outcome, Reply
from batchai.providers.local import LocalProvider
from batchai.providers.local_process import ModelServer
from batchai.providers.streaming import Deadlines
from batchai.simulator import Simulator
from tests.providers.asking import KEY, model_at, request_to

SLOTS = 2
SHORT_SECONDS = 0.5


@asynccontextmanager
async def opened(sim: Simulator) -> AsyncIterator[LocalProvider]:
    """A provider whose server is the simulator, with so many slots."""

    async def start() -> ModelServer:
        waits = "import sys; sys.stdin.read()"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", waits, stdin=PIPE)
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        return ModelServer(process, errors, base_url=sim.openai_url, api_key=KEY)

    provider = LocalProvider(start, slots=SLOTS)
    try:
        await provider.start()
        yield provider
    finally:
        await provider.close()


def ask(provider: LocalProvider, *, seconds: float, streams: bool = False) -> Awaitable[Reply]:
    body = provider.encode(request_to(model_at("openai", "http://127.0.0.1:9")))
    if not streams:
        return provider.send(body, deadline_seconds=seconds)
    deadlines = Deadlines(seconds, seconds, seconds)
    return provider.stream(body, deadlines=deadlines, on_text=lambda _: None)


@pytest.mark.parametrize("streams", [False, True], ids=["sent", "streamed"])
async def test_no_more_requests_are_out_than_the_server_has_slots(streams: bool) -> None:
    with Simulator() as sim:
        async with opened(sim) as provider:
            sim.hold()
            asked = [
                asyncio.ensure_future(ask(provider, seconds=60, streams=streams)) for _ in range(6)
            ]
            await asyncio.to_thread(sim.wait_for, SLOTS, 60)
            sim.release()
            replies = await asyncio.gather(*asked)

        assert {reply.outcome for reply in replies} == {Outcome.SUCCEEDED}
        assert len(sim.received) == 6
        assert sim.in_flight_peak == SLOTS


@pytest.mark.parametrize("streams", [False, True], ids=["sent", "streamed"])
async def test_a_deadline_is_longer_by_the_slots_and_runs_from_when_one_is_free(
    streams: bool,
) -> None:
    """The third waits for a slot until the deadline of the first two is over, which is its own as
    well: it is asked all the same."""
    with Simulator() as sim:
        async with opened(sim) as provider:
            sim.hold()
            began = asyncio.get_running_loop().time()
            first, second, third = (
                asyncio.ensure_future(ask(provider, seconds=SHORT_SECONDS, streams=streams))
                for _ in range(3)
            )
            late = [await first, await second]
            waited = asyncio.get_running_loop().time() - began
            await asyncio.to_thread(sim.wait_for, SLOTS + 1, 60)
            third.cancel()
            sim.release()

    assert [reply.outcome for reply in late] == [Outcome.TIMED_OUT] * 2
    assert waited >= SLOTS * SHORT_SECONDS
