"""Streamed answers: equal to unstreamed ones, judged by their progress, kept when they are cut."""

from dataclasses import replace
from typing import Any

import pytest

from batchai.domain import Outcome, Reply
from batchai.providers import Deadlines
from batchai.simulator import Fault, Latency, Settings, Simulator
from tests.providers.asking import ask, model_at, opened, request_to, url_of
from tests.simulator.clients import failing

PROVIDERS = ["anthropic", "openai"]
PATIENT = Deadlines(total_seconds=30, first_seconds=30, idle_seconds=30)
TEXT = "A plain answer that takes more than one piece to arrive, with ü and 🎉 in it."


async def streamed(
    simulator: Simulator, provider: str, *, deadlines: Deadlines = PATIENT, **settings: Any
) -> tuple[Reply, list[str]]:
    """The reply and the pieces of text that came before it."""
    pieces: list[str] = []
    model = model_at(provider, url_of(provider, simulator))
    async with opened(model) as it:
        request = replace(request_to(model, **settings), is_streamed=True)
        body = it.encode(request)
        reply = await it.stream(body, deadlines=deadlines, on_text=pieces.append)
    return reply, pieces


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "settings",
    [
        Settings(answer=lambda _request: TEXT),
        Settings(cache_read_share=0.5, cache_write_share=0.25, reasoning_tokens=7),
        failing(Fault.TRUNCATED),
        failing(Fault.REFUSED),
        failing(Fault.EMPTY_TEXT),
        failing(Fault.MISSING_USAGE),
        failing(Fault.SURROGATES),
        failing(Fault.SERVER_ERROR),
        failing(Fault.QUOTA),
    ],
    ids=["text", "usage", "truncated", "refused", "empty", "no usage", "odd", "500", "quota"],
)
async def test_a_streamed_answer_is_what_an_unstreamed_one_would_have_been(
    provider: str, settings: Settings
) -> None:
    with Simulator(settings) as simulator:
        whole = await ask(model_at(provider, url_of(provider, simulator)))
        reply, pieces = await streamed(simulator, provider)

    assert replace(reply, request_id="") == replace(whole, request_id="")
    if reply.outcome is Outcome.SUCCEEDED:
        assert "".join(pieces) == reply.text


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_text_comes_piece_by_piece(provider: str) -> None:
    with Simulator(Settings(answer=lambda _request: TEXT)) as simulator:
        _, pieces = await streamed(simulator, provider)

    assert len(pieces) > 3


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("fault", "outcome", "detail"),
    [
        (Fault.RESET_MID_BODY, Outcome.CONNECTION_LOST, ""),
        (Fault.CUT_BODY, Outcome.CONNECTION_LOST, "the answer broke off after"),
        (Fault.STREAM_ERROR, Outcome.OVERLOADED, "an error in the stream"),
    ],
    ids=["reset", "ends early", "error event"],
)
async def test_what_was_written_of_a_cut_answer_is_kept(
    provider: str, fault: Fault, outcome: Outcome, detail: str
) -> None:
    settings = replace(failing(fault), answer=lambda _request: TEXT * 20)
    with Simulator(settings) as simulator:
        reply, pieces = await streamed(simulator, provider)

    assert reply.outcome in {outcome, Outcome.SERVER_ERROR}
    assert detail in reply.detail
    assert reply.text == "".join(pieces)
    assert 0 < len(reply.text) < len(TEXT * 20)
    assert reply.may_be_billed


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_slow_answer_lives_as_long_as_it_goes_on(provider: str) -> None:
    settings = Settings(
        answer=lambda _request: TEXT * 2, latency=Latency(per_output_token_seconds=0.02)
    )
    with Simulator(settings) as simulator:
        reply, _ = await streamed(simulator, provider, deadlines=replace(PATIENT, idle_seconds=1.0))
        hasty, _ = await streamed(
            simulator, provider, deadlines=replace(PATIENT, total_seconds=0.5)
        )

    assert reply.outcome is Outcome.SUCCEEDED
    assert hasty.outcome is Outcome.TIMED_OUT
    assert "did not end within 0.5 s" in hasty.detail


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_stands_still_is_given_up_with_its_text(provider: str) -> None:
    settings = replace(failing(Fault.STALL), answer=lambda _request: TEXT * 20)
    with Simulator(settings) as simulator:
        reply, pieces = await streamed(
            simulator, provider, deadlines=replace(PATIENT, idle_seconds=0.3)
        )

    assert reply.outcome is Outcome.TIMED_OUT
    assert reply.text == "".join(pieces) != ""
    assert f"nothing came for 0.3 s, after {len(reply.text):,} characters" in reply.detail


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_never_begins_is_given_up(provider: str) -> None:
    with Simulator(failing(Fault.HANG)) as simulator:
        reply, _ = await streamed(
            simulator, provider, deadlines=replace(PATIENT, first_seconds=0.3)
        )

    assert reply.outcome is Outcome.TIMED_OUT
    assert "no answer began within 0.3 s" in reply.detail
