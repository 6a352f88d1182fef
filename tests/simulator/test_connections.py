"""The connection fails; the answer is billed all the same."""

import asyncio

import aiohttp
import anthropic
import openai
import pytest

from batchai.simulator import Fault, Simulator
from tests.simulator.clients import ask_claude, ask_gpt, failing


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.STALL], ids=str)
async def test_silence_ends_with_the_clients_own_timeout(fault: Fault) -> None:
    with Simulator(failing(fault)) as sim:
        with pytest.raises(anthropic.APITimeoutError):
            await ask_claude(sim, timeout=0.1)
        with pytest.raises(openai.APITimeoutError):
            await ask_gpt(sim, timeout=0.1)
        sim.wait_for_served(2)
        assert all(entry.usage is not None for entry in sim.received)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_MID_BODY], ids=str)
async def test_a_reset_connection_is_a_connection_error(fault: Fault) -> None:
    with Simulator(failing(fault)) as sim:
        with pytest.raises(anthropic.APIConnectionError):
            await ask_claude(sim)
        with pytest.raises(openai.APIConnectionError):
            await ask_gpt(sim)
        assert all(entry.usage is not None for entry in sim.received)


async def test_half_of_the_body_arrives_before_a_reset() -> None:
    with Simulator(failing(Fault.RESET_MID_BODY)) as sim:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        key = {"Authorization": "Bearer k"}
        async with (
            aiohttp.ClientSession(headers=key) as session,
            session.post(f"{sim.openai_url}/chat/completions", json=body) as response,
        ):
            half = await response.content.readany()
            assert half.startswith(b'{"id": "chatcmpl-')
            with pytest.raises(aiohttp.ClientError):
                await response.content.readany()


async def test_a_body_that_drips_outlasts_the_socket_timeout_but_not_a_deadline() -> None:
    with Simulator(failing(Fault.DRIP, drip_seconds=0.01)) as sim:
        for ask in (ask_claude, ask_gpt):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await ask(sim, timeout=0.1)
