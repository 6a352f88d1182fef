"""What goes out: bytes, headers, connections; and what the environment cannot change about it."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchai.domain import Message, ModelSettings, Outcome, Request
from batchai.providers import open_provider, worst_input_tokens
from batchai.providers.transport import keepalive_socket, proxy_for
from batchai.simulator import Received, Settings, Simulator
from tests.providers.asking import KEY, ask, model_at, opened, request_to, url_of

PROVIDERS = ["anthropic", "openai"]
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["good", "bad"]}, "why": {"type": "string"}},
    "required": ["mood"],
}


async def received(provider: str, **settings: Any) -> Received:
    """What the server got of one request."""
    with Simulator() as simulator:
        model = model_at(provider, url_of(provider, simulator))
        reply = await ask(model, **settings)
        assert reply.outcome is Outcome.SUCCEEDED, reply
        return simulator.received[0]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_bytes_sent_are_the_bytes_encoded(provider: str) -> None:
    with Simulator() as simulator:
        model = model_at(provider, url_of(provider, simulator))
        async with opened(model) as opened_provider:
            body = opened_provider.encode(request_to(model, schema=SCHEMA))
            await opened_provider.send(body, deadline_seconds=5)
        (got,) = simulator.received

    assert got.body == orjson.loads(body)
    assert int(got.headers["content-length"]) == len(body)
    assert got.usage is not None
    assert worst_input_tokens(len(body)) > got.usage.input


async def test_anthropics_body_has_its_own_names() -> None:
    got = await received(
        "anthropic", schema=SCHEMA, stop=("END",), metadata={"user_id": "u1"}, effort="low"
    )

    assert got.body["system"] == "Answer in one word."
    assert got.body["max_tokens"] == 64
    assert got.body["stop_sequences"] == ["END"]
    assert got.body["metadata"] == {"user_id": "u1"}
    assert got.body["output_config"]["effort"] == "low"
    assert got.body["output_config"]["format"]["schema"]["required"] == ["mood"]
    assert got.headers["anthropic-version"] != "2023-06-01"
    assert "NOT_GIVEN" not in got.headers["x-stainless-timeout"]


async def test_sampling_goes_to_anthropic_under_the_older_version() -> None:
    with Simulator() as simulator:
        model = model_at("anthropic", simulator.anthropic_url, temperature=0.0)
        await ask(model, temperature=0.0)
        (got,) = simulator.received

    assert got.body["temperature"] == 0.0
    assert got.headers["anthropic-version"] == "2023-06-01"


async def test_openais_body_has_its_own_names() -> None:
    got = await received(
        "openai", schema=SCHEMA, stop=("END",), temperature=0.5, top_p=0.9, effort="none"
    )

    assert got.body["messages"][0] == {"role": "system", "content": "Answer in one word."}
    assert got.body["max_completion_tokens"] == 64
    assert got.body["stop"] == ["END"]
    assert (got.body["temperature"], got.body["top_p"]) == (0.5, 0.9)
    assert got.body["reasoning_effort"] == "none"
    assert got.body["response_format"]["json_schema"]["strict"] is True
    assert got.body["response_format"]["json_schema"]["schema"]["required"] == ["mood", "why"]


async def test_a_compatible_server_gets_the_name_that_every_server_knows() -> None:
    with Simulator() as simulator:
        model = model_at("openai", simulator.openai_url).model_copy(
            update={"name": "openai/qwen3-8b"}
        )
        await ask(model)
        (got,) = simulator.received

    assert got.body["max_tokens"] == 64
    assert "max_completion_tokens" not in got.body


async def test_extra_body_is_merged_and_not_laid_over() -> None:
    got = await received(
        "anthropic",
        schema=SCHEMA,
        extra_body={"output_config": {"effort": "low"}, "service_tier": "auto"},
    )

    assert got.body["service_tier"] == "auto"
    assert got.body["output_config"]["effort"] == "low"
    assert got.body["output_config"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_lone_surrogates_and_huge_integers_can_be_sent(provider: str) -> None:
    big = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2**70}}}

    got = await received(provider, prompt="half a smile: \ud83d", schema=big)

    assert "half a smile: �" in got.prompt


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_environment_redirects_nothing_and_adds_nothing(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Simulator() as trap, Simulator() as simulator:
        for name in ("ANTHROPIC", "OPENAI"):
            monkeypatch.setenv(f"{name}_BASE_URL", trap.url)
            monkeypatch.setenv(f"{name}_API_KEY", "sk-other")
            monkeypatch.setenv(f"{name}_AUTH_TOKEN", "other")
            monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "X-Stray: 1\nAuthorization: Bearer stray")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, trap.url)
            monkeypatch.setenv(name.upper(), trap.url)
        reply = await ask(model_at(provider, url_of(provider, simulator)))
        (got,) = simulator.received
        (plain,) = [await received(provider)]

    assert reply.outcome is Outcome.SUCCEEDED
    assert trap.received == []
    assert got.key_hash == plain.key_hash
    assert not {"x-stray", "openai-organization", "openai-project"} & got.headers.keys()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_keyless_server_gets_no_key_even_where_the_environment_has_one(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with Simulator(Settings(require_key=False)) as simulator:
        model = model_at(provider, url_of(provider, simulator))
        async with opened(model, key=None) as keyless:
            reply = await keyless.send(keyless.encode(request_to(model)), deadline_seconds=5)
        (got,) = simulator.received

    assert reply.outcome is Outcome.SUCCEEDED
    assert got.key_hash == ""


MANY = 130  # more than the pools of aiohttp, httpx2 and either SDK hold by default


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_more_calls_than_announced_are_all_in_flight_at_once(provider: str) -> None:
    with Simulator() as simulator:
        simulator.hold()
        model = model_at(provider, url_of(provider, simulator))
        async with opened(model) as shared, asyncio.TaskGroup() as tasks:
            body = shared.encode(request_to(model))
            for _ in range(MANY):
                tasks.create_task(shared.send(body, deadline_seconds=60))
            await asyncio.to_thread(simulator.wait_for, MANY)
            simulator.release()

    assert simulator.in_flight_peak == MANY


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_cancelling_passes_and_closing_twice_is_fine(provider: str) -> None:
    with Simulator() as simulator:
        simulator.hold()
        model = model_at(provider, url_of(provider, simulator))
        cancelled = open_provider(model, key=KEY, concurrency=1)
        task = asyncio.create_task(
            cancelled.send(cancelled.encode(request_to(model)), deadline_seconds=10)
        )
        await asyncio.to_thread(simulator.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await cancelled.close()
        await cancelled.close()
        simulator.release()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_is_used_of_a_step_is_built_once_but_never_mixed_up(provider: str) -> None:
    model = model_at(provider, "http://127.0.0.1:9")
    turn = (Message("user", "x"),)
    one = ModelSettings(model.provider, model.id, stop=("a",))
    two = ModelSettings(model.provider, model.id, stop=("b",))

    async with opened(model) as shared:
        bodies = [shared.encode(Request(s, None, turn, 9)) for s in (one, two, one)]

    assert bodies[0] == bodies[2] != bodies[1]


def test_sockets_notice_a_dead_peer() -> None:
    with keepalive_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("", 0))) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_connection_that_waits_for_its_answer_is_probed_within_half_a_minute(
    provider: str,
) -> None:
    """As the kernel has it: else a NAT forgets the flow, and the answer that is billed is lost."""
    with Simulator() as simulator:
        simulator.hold()
        model = model_at(provider, url_of(provider, simulator))
        async with opened(model) as line:
            sending = asyncio.create_task(
                line.send(line.encode(request_to(model)), deadline_seconds=60)
            )
            await asyncio.to_thread(simulator.wait_for, 1)
            timers = _timers_to(simulator.port)
            simulator.release()
            await sending

    ((kind, seconds),) = timers
    assert kind == "keepalive"
    assert 0 < seconds <= 31


def _timers_to(port: int) -> list[tuple[str, float]]:
    """Of the connections to a port on loopback: which timer runs, and in how many seconds it ends.

    /proc/net/tcp, the columns `rem_address` and `tr tm->when` (in hundredths, hexadecimal).
    """
    kinds = {"00": "none", "01": "retransmit", "02": "keepalive", "03": "time-wait", "04": "probe"}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [row[5].split(":") for row in rows if row[2].endswith(f":{port:04X}")]
    return [(kinds[kind], int(when, 16) / 100) for kind, when in timers]


def test_a_proxy_is_for_https_to_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")

    assert proxy_for("https://api.openai.com/v1") == "http://proxy.example:3128"
    assert proxy_for("https://inside.example/v1") is None
    assert proxy_for("https://localhost:8443/v1") is None
    assert proxy_for("http://127.0.0.1:8000/v1") is None


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_after_a_reconnect_what_is_in_flight_is_still_answered(provider: str) -> None:
    with Simulator() as simulator:
        model = model_at(provider, url_of(provider, simulator))
        async with opened(model) as line:
            body = line.encode(request_to(model))
            simulator.hold()
            first = asyncio.create_task(line.send(body, deadline_seconds=30))
            await asyncio.to_thread(simulator.wait_for, 1)
            line.reconnect()
            second = asyncio.create_task(line.send(body, deadline_seconds=30))
            await asyncio.to_thread(simulator.wait_for, 2)
            simulator.release()
            replies = [await first, await second]

    assert [reply.outcome for reply in replies] == [Outcome.SUCCEEDED] * 2
