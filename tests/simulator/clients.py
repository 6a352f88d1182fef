"""The real SDKs, pointed at a simulator."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai

from batchai.simulator import Fault, Settings, Simulator

CLAUDE = "claude-haiku-4-5"
GPT = "gpt-5.4-mini"
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "sentiment": {"enum": ["positive", "neutral", "negative"]},
        "key_issue": {"type": "string"},
    },
    "required": ["sentiment", "key_issue"],
    "additionalProperties": False,
}


@asynccontextmanager
async def claude(sim: Simulator, **options: Any) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """An anthropic client as the engine makes it: aiohttp transport, no retries."""
    client = anthropic.AsyncAnthropic(
        api_key=options.pop("api_key", "sk-test"),
        base_url=sim.anthropic_url,
        max_retries=0,
        http_client=anthropic.DefaultAioHttpClient(verify=False, **options),
        **options,
    )
    async with client:
        yield client


@asynccontextmanager
async def gpt(sim: Simulator, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """An openai client as the engine makes it: aiohttp transport, no retries."""
    client = openai.AsyncOpenAI(
        api_key=options.pop("api_key", "sk-test"),
        base_url=sim.openai_url,
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(verify=False, **options),
        **options,
    )
    async with client:
        yield client


async def ask_claude(sim: Simulator, prompt: str = "The app crashes.", **extra: Any) -> Any:
    """One message, with the schema unless `schema=None`."""
    schema = extra.pop("schema", SCHEMA)
    options = {name: extra.pop(name) for name in ("api_key", "timeout") if name in extra}
    if schema is not None:
        extra["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    async with claude(sim, **options) as client:
        return await client.messages.create(
            **{
                "model": CLAUDE,
                "max_tokens": 256,
                "messages": [{"role": "user", "content": prompt}],
                **extra,
            }
        )


async def ask_gpt(sim: Simulator, prompt: str = "The app crashes.", **extra: Any) -> Any:
    """One chat completion, with the schema unless `schema=None`."""
    schema = extra.pop("schema", SCHEMA)
    options = {name: extra.pop(name) for name in ("api_key", "timeout") if name in extra}
    if schema is not None:
        form = {"name": "result", "schema": schema, "strict": True}
        extra["response_format"] = {"type": "json_schema", "json_schema": form}
    async with gpt(sim, **options) as client:
        return await client.chat.completions.create(
            **{
                "model": GPT,
                "max_completion_tokens": 256,
                "messages": [{"role": "user", "content": prompt}],
                **extra,
            }
        )


def failing(fault: Fault, **settings: Any) -> Settings:
    """Settings under which every request meets the fault."""
    return Settings(faults=lambda _request, _index: fault, **settings)
