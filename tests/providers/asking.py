"""Asking a simulated provider as the engine does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from batchai.domain import Message, ModelSettings, Reply, Request
from batchai.providers import Provider, open_provider
from batchai.simulator import Simulator
from batchai.spec.models import Model

KEY = "sk-canary-4f1d7a20c95e"
PROMPT = "Private: the patient of room 12 complains about everything, and rightly so."
MODELS = {"anthropic": "anthropic/claude-haiku-4-5", "openai": "openai/gpt-5.4-mini"}


def model_at(provider: str, base_url: str, **changes: Any) -> Model:
    """The provider's model of these tests at an address."""
    return Model(name=MODELS[provider], base_url=base_url, **changes)


def url_of(provider: str, simulator: Simulator) -> str:
    """Where the simulator speaks that provider's protocol."""
    return simulator.anthropic_url if provider == "anthropic" else simulator.openai_url


def request_to(model: Model, *, prompt: str = PROMPT, **settings: Any) -> Request:
    """One user turn."""
    return Request(
        ModelSettings(model.provider, model.id, **settings),
        system="Answer in one word.",
        messages=(Message("user", prompt),),
        max_tokens=64,
    )


@asynccontextmanager
async def opened(model: Model, *, key: str | None = KEY) -> AsyncIterator[Provider]:
    """The provider, closed at the end."""
    provider = open_provider(model, key=key, concurrency=4)
    try:
        yield provider
    finally:
        await provider.close()


async def ask(model: Model, *, deadline_seconds: float = 5.0, **settings: Any) -> Reply:
    """One call with a provider of its own."""
    async with opened(model) as provider:
        body = provider.encode(request_to(model, **settings))
        return await provider.send(body, deadline_seconds=deadline_seconds)
