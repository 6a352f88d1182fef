"""The client under the SDKs: it leaves out work, never a header."""

from typing import Any

import anthropic
import httpx2
import openai
import pytest

from batchai.domain import Outcome
from batchai.providers.clients import open_http
from batchai.simulator import Simulator
from tests.providers.asking import KEY, ask, model_at, opened, request_to, url_of

PROVIDERS = ["anthropic", "openai"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_headers_are_those_of_the_sdks_own_client(provider: str) -> None:
    with Simulator() as simulator:
        url = url_of(provider, simulator)
        model = model_at(provider, url)
        async with opened(model) as ours:
            body = ours.encode(request_to(model))
            await ours.send(body, deadline_seconds=5)
        timeout = httpx2.Timeout(None, connect=10.0)
        sdk: Any = {"anthropic": anthropic.AsyncAnthropic, "openai": openai.AsyncOpenAI}[provider](
            api_key=KEY, base_url=url, max_retries=0, timeout=timeout
        )
        path = "/v1/messages" if provider == "anthropic" else "/chat/completions"
        async with sdk:
            await sdk.post(
                path, cast_to=httpx2.Response, content=body, options={"timeout": timeout}
            )
        got, plain = simulator.received

    assert got.headers == plain.headers
    assert got.key_hash == plain.key_hash
    assert got.body == plain.body


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_slash_at_the_end_of_an_address_makes_no_difference(provider: str) -> None:
    with Simulator() as simulator:
        reply = await ask(model_at(provider, url_of(provider, simulator) + "/"))

    assert reply.outcome is Outcome.SUCCEEDED


async def test_one_client_keeps_addresses_apart() -> None:
    _, client = open_http("http://127.0.0.1:9")
    async with client:
        urls = [f"http://127.0.0.1:9/{name}" for name in ("a", "b", "a")]
        requests = [client.build_request("POST", url, content=b"{}", headers=[]) for url in urls]

    assert [str(request.url) for request in requests] == urls


async def test_a_request_that_is_not_a_body_of_bytes_is_built_as_usual() -> None:
    _, client = open_http("http://127.0.0.1:9")
    async with client:
        request = client.build_request(
            "POST", "http://127.0.0.1:9/a", content=b"x", params={"q": "1"}
        )

    assert str(request.url) == "http://127.0.0.1:9/a?q=1"
    assert request.headers["content-length"] == "1"


async def test_a_closed_client_sends_nothing() -> None:
    _, client = open_http("http://127.0.0.1:9")
    request = client.build_request("POST", "http://127.0.0.1:9/a", content=b"x", headers=[])
    await client.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await client.send(request)
