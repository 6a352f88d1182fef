"""Bodies that no SDK sends, over bare HTTP."""

from typing import Any

import aiohttp
import pytest

from batchai.simulator import AccountLimits, Neighbours, Served, Settings, Simulator
from batchai.simulator.answers import fitting

TURN = {"role": "user", "content": "x"}
VERSION = {"anthropic-version": "2026-10-21"}


async def post(sim: Simulator, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    headers = {"Authorization": "Bearer k", **VERSION, **headers}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{sim.url}{path}", data=body if isinstance(body, bytes) else None,
                     json=None if isinstance(body, bytes) else body) as response,
    ):  # fmt: skip
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{not json", "model"),
        (b"[1]", "model"),
        ({"model": "m", "messages": "hello", "max_tokens": 0}, "max_tokens"),
        ({"model": "m", "messages": [TURN]}, "max_tokens"),
        ({"model": "m", "messages": [TURN], "max_tokens": 1, "response_format": {}}, "response"),
        ({"model": "m", "messages": [TURN], "max_tokens": 1, "stop": ["x"]}, "stop"),
    ],
    ids=["no JSON", "a list", "no tokens", "no max_tokens", "openai's field", "stop"],
)
async def test_anthropic_names_what_is_wrong_with_a_body(body: Any, word: str) -> None:
    with Simulator() as sim:
        status, error = await post(sim, "/v1/messages", body)
        assert sim.received[0].served is Served.REJECTED

    assert (status, error["error"]["type"]) == (400, "invalid_request_error")
    assert word in error["error"]["message"]


async def test_blocks_of_text_and_of_other_things_make_the_prompt() -> None:
    image = {"type": "image", "source": {"data": "iVBOR"}}
    turns = [{"role": "user", "content": [{"type": "text", "text": "Look:"}, image]}, "odd", TURN]
    with Simulator() as sim:
        body = {"model": "m", "max_tokens": 9, "messages": turns, "system": [{"text": "Be brief."}]}
        await post(sim, "/v1/messages", body)
        received = sim.received[0]

    assert received.prompt == f"Look:{image}\n\nx"
    assert received.system == "Be brief."


async def test_a_system_turn_of_openai_is_no_part_of_the_prompt() -> None:
    turns = [{"role": "developer", "content": "Be brief."}, TURN]
    with Simulator() as sim:
        await post(sim, "/chat/completions", {"model": "m", "messages": turns})
        assert (sim.received[0].system, sim.received[0].prompt) == ("Be brief.", "x")


async def test_a_request_without_a_key_is_refused_unless_none_is_needed() -> None:
    body = {"model": "m", "messages": [TURN]}
    with Simulator() as sim:
        status, error = await post(sim, "/v1/chat/completions", body, Authorization="")
        assert (status, error["error"]["code"]) == (401, "invalid_api_key")
        assert sim.received[0].key_hash == ""
    with Simulator(Settings(require_key=False)) as sim:
        assert (await post(sim, "/v1/chat/completions", body, Authorization=""))[0] == 200


async def test_an_old_key_header_is_a_key_that_is_not_written_down() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [TURN]}
    with Simulator(Settings(keys=frozenset({"sk-old"}))) as sim:
        headers = {"Authorization": "", "x-api-key": "sk-old"}
        assert (await post(sim, "/v1/messages", body, **headers))[0] == 200
        assert "sk-old" not in repr(sim.received)


async def test_the_neighbours_luck_can_be_asked_for() -> None:
    limits = AccountLimits(requests=5)
    crowd = Neighbours(requests_per_second=1e5)
    with Simulator(Settings(limits=limits, neighbours=crowd)) as sim:
        body = {"model": "m", "messages": [TURN]}
        statuses = [(await post(sim, "/v1/chat/completions", body))[0] for _ in range(3)]
        assert sim.neighbours_served >= 4
        assert sim.neighbours_refused > 10
    assert statuses[-1] == 429


def test_a_schema_that_leads_in_a_circle_is_refused_with_a_remedy() -> None:
    circle = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    with pytest.raises(ValueError, match="lead in a circle"):
        fitting(circle, prompt="x")
