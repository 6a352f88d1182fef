"""What the simulator can say about its clients."""

import ast
import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from decimal import Decimal
from pathlib import Path

import aiohttp
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchai.simulator
from batchai.errors import ProviderError
from batchai.simulator import (
    Capacity,
    Fault,
    Latency,
    Rates,
    Served,
    Settings,
    Simulator,
    first_attempts,
)
from batchai.simulator.record import Received, Record
from tests.simulator.clients import ask_claude, ask_gpt, failing

ASK = textwrap.dedent("""
    import json, sys, urllib.request
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
    urllib.request.urlopen(
        urllib.request.Request(sys.argv[1], json.dumps(body).encode(), headers)
    ).read()
""")


def arrived(at: float) -> Received:
    return Received(0, at, "openai", "m", "p", None, None, {}, {}, "")


@given(st.lists(st.floats(0, 300), max_size=60), st.floats(0.1, 120))
def test_the_worst_window_is_the_fullest_of_all(times: list[float], seconds: float) -> None:
    record = Record()
    for at in times:
        record.arrive(arrived(at))

    fullest = max(
        (sum(start <= at < start + seconds for at in times) for start in times), default=0
    )
    assert abs(record.worst_window(seconds) - fullest) <= _on_an_edge(times, seconds)


def _on_an_edge(times: list[float], seconds: float) -> int:
    """Pairs whose distance is the window's length but for rounding."""
    return sum(abs(b - a - seconds) < 1e-9 for a in times for b in times)


async def test_the_record_tells_request_usage_and_answer() -> None:
    with Simulator() as sim:
        await ask_claude(sim, "One", system="Be brief.", schema=None)
        await ask_gpt(sim, "Two", schema=None)
        first, second = sim.received

    assert (first.sequence, first.provider, first.model) == (0, "anthropic", "claude-haiku-4-5")
    assert (first.prompt, first.system, first.max_tokens) == ("One", "Be brief.", 256)
    assert first.body["messages"] == [{"role": "user", "content": "One"}]
    assert first.headers["anthropic-version"] == "2026-10-21"
    assert "authorization" not in first.headers
    assert (first.served, first.status, first.client_present) == (Served.ANSWERED, 200, True)
    assert first.answer == "Answer to: One"
    assert second.arrived_at > first.arrived_at
    assert (second.provider, second.prompt) == ("openai", "Two")


async def test_the_bill_is_usage_times_rates() -> None:
    cheap = Rates(Decimal("1"), Decimal("5"), cache_read_mtok=Decimal("0.1"))
    with Simulator(Settings(cache_read_share=0.5, answer=lambda _request: "word" * 10)) as sim:
        usage = (await ask_claude(sim, schema=None)).usage
        expected = (
            Decimal(usage.input_tokens)
            + Decimal(usage.cache_read_input_tokens) / 10
            + Decimal(usage.output_tokens) * 5
        ) / 1_000_000

        assert usage.output_tokens == 10
        assert sim.bill(cheap) == expected
        assert sim.bill({"claude-haiku-4-5": cheap}) == expected
        total = sum((usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens))
        assert sim.worst_token_window() == total
        assert sim.worst_token_window(1.0, "output") == 10
        assert sim.worst_token_window(1.0, "input") == total - 10


async def test_what_failed_at_the_provider_costs_nothing_and_what_was_lost_costs_all() -> None:
    rates = Rates(Decimal(1), Decimal(1))
    with Simulator(failing(Fault.SERVER_ERROR)) as sim:
        with pytest.raises(openai.InternalServerError):
            await ask_gpt(sim)
        assert sim.bill(rates) == 0
    with Simulator(failing(Fault.RESET)) as sim:
        with pytest.raises(openai.APIConnectionError):
            await ask_gpt(sim)
        assert sim.bill(rates) > 0


async def test_held_requests_arrive_and_are_answered_after_the_release() -> None:
    with Simulator() as sim:
        sim.hold()
        asking = [asyncio.create_task(ask_gpt(sim, f"Number {n}")) for n in range(5)]
        await asyncio.to_thread(sim.wait_for, 5)
        assert {entry.served for entry in sim.received} == {Served.PENDING}

        sim.release()
        await asyncio.gather(*asking)
        assert sim.in_flight_peak == 5
        assert sim.worst_window(60) == 5
        assert {entry.served for entry in sim.received} == {Served.ANSWERED}


def test_a_killed_client_leaves_the_server_serving_and_is_noticed() -> None:
    with Simulator() as sim:
        sim.hold()
        url = f"{sim.openai_url}/chat/completions"
        client = subprocess.Popen([sys.executable, "-c", ASK, url])
        sim.wait_for(1)
        client.send_signal(signal.SIGKILL)
        client.wait()
        sim.release()
        sim.wait_for_served(1)
        asyncio.run(ask_gpt(sim))

        killed, alive = sim.received
    assert killed.usage is not None
    assert (killed.client_present, alive.client_present) == (False, True)


def test_waiting_in_vain_says_what_was_seen() -> None:
    with (
        Simulator() as sim,
        pytest.raises(TimeoutError, match=r"1 arrivals not reached .* 0 arrived, 0 served"),
    ):
        sim.wait_for(1, timeout_seconds=0.01)


def test_a_taken_port_is_refused_with_a_remedy() -> None:
    with (
        Simulator() as sim,
        pytest.raises(ProviderError, match="give another port"),
        Simulator(Settings(port=sim.port)),
    ):
        pass


async def test_an_attempt_that_is_repeated_is_told_apart() -> None:
    settings = Settings(faults=first_attempts(2, Fault.UNAVAILABLE, containing="hard"))
    with Simulator(settings) as sim:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                await ask_gpt(sim, "a hard one")
        await ask_gpt(sim, "a hard one")
        await ask_gpt(sim, "an easy one")

        faults = [entry.fault for entry in sim.received]
    assert faults == [Fault.UNAVAILABLE, Fault.UNAVAILABLE, None, None]


async def test_latency_grows_beyond_the_capacity() -> None:
    slow = Settings(latency=Latency(seconds=0.02), capacity=Capacity(slots=1))
    with Simulator(slow) as sim:
        sim.hold()
        asking = [asyncio.create_task(ask_gpt(sim, f"Number {n}")) for n in range(4)]
        await asyncio.to_thread(sim.wait_for, 4)
        released_at = time.monotonic()
        sim.release()
        await asyncio.gather(*asking)
        last = max(entry.served_at or 0 for entry in sim.received)

    assert last - released_at > 0.079  # 0.02 s alone, 0.08 s as the fourth


def test_latency_is_lognormal_about_its_median_and_the_same_every_time() -> None:
    latency = Latency(seconds=2.0, sigma=0.5, per_output_token_seconds=0.1, seed=3)
    drawn = sorted(latency.draw(n, 0) for n in range(1001))

    assert 1.8 < drawn[500] < 2.2
    assert 1.1 < drawn[158] < 1.35  # a sigma below: 2 / e^0.5
    assert latency.draw(5, 10) == latency.draw(5, 0) + 1.0
    assert latency.draw(5, 0) != latency.draw(6, 0)


async def test_the_fixed_answer_is_served_over_both_protocols_and_counted() -> None:
    with Simulator(Settings(fixed_answer='{"ok": true}')) as sim:
        message = await ask_claude(sim)
        completion = await ask_gpt(sim)
        sim.wait_for(2)
        assert sim.worst_window(60) == 2
        assert sim.received == []

    assert message.content[0].text == completion.choices[0].message.content == '{"ok": true}'


async def test_the_simulator_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "batchai.simulator", "--latency", "0.001", "--rpm", "100"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": _root()}
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer k"}) as session:
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            assert response.headers["x-ratelimit-remaining-requests"] == "99"
        async with session.get(f"{url}/simulator/report") as response:
            report = await response.json()
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert (report["arrived"], report["served"], report["worst_minute"]) == (1, 1, 1)


def _root() -> str:
    return str(Path(batchai.simulator.__file__).parents[2])


def test_the_judge_shares_no_code_with_what_it_judges() -> None:
    allowed = {"batchai.domain", "batchai.errors"}
    for path in Path(batchai.simulator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                own = node.module.startswith("batchai.simulator")
                assert own or node.module in allowed or not node.module.startswith("batchai"), path
