"""What everybody writes first: the default SDK client, a semaphore, gather, answers in a list.

`python -m tests.benchmarks.bare_loop PROVIDER URL CONCURRENCY COUNT` prints its CPU time as JSON.
It sends the same requests as the engine, but keeps nothing, validates nothing and counts no cost.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable

from tests.benchmarks.resources import cpu_seconds, peak_mb
from tests.benchmarks.scenario import MAX_TOKENS, MODELS, QUESTION, SCHEMA, SYSTEM, base_url, items

_KEY = "sk-benchmark"
# what the client would import at its first call
_LATE = {"openai": "openai.resources.chat", "anthropic": "anthropic.resources.messages"}


def main() -> None:
    """Run and print."""
    provider, url, concurrency, count = sys.argv[1:]
    importlib.import_module(_LATE[provider])
    begin = cpu_seconds()
    ask = {"openai": _openai, "anthropic": _anthropic}[provider]
    answers = asyncio.run(_run(ask(base_url(provider, url)), int(concurrency), int(count)))
    assert len(answers) == int(count)
    assert all(answers)
    print(json.dumps({"cpu_seconds": cpu_seconds() - begin, "peak_mb": peak_mb()}))


async def _run(ask: Callable[[str], Awaitable[str]], concurrency: int, count: int) -> list[str]:
    semaphore = asyncio.Semaphore(concurrency)

    async def one(text: str) -> str:
        async with semaphore:
            return await ask(QUESTION + text)

    return list(await asyncio.gather(*(one(item["text"]) for item in items(count))))


def _openai(url: str) -> Callable[[str], Awaitable[str]]:
    import openai

    client = openai.AsyncOpenAI(api_key=_KEY, base_url=url)

    async def ask(text: str) -> str:
        completion = await client.chat.completions.create(
            model=MODELS["openai"],
            max_completion_tokens=MAX_TOKENS,
            messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "result", "schema": SCHEMA, "strict": True},
            },
        )
        return completion.choices[0].message.content or ""

    return ask


def _anthropic(url: str) -> Callable[[str], Awaitable[str]]:
    import anthropic

    client = anthropic.AsyncAnthropic(api_key=_KEY, base_url=url)

    async def ask(text: str) -> str:
        message = await client.messages.create(
            model=MODELS["anthropic"],
            max_tokens=MAX_TOKENS,
            system=SYSTEM,
            messages=[{"role": "user", "content": text}],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        )
        return "".join(block.text for block in message.content if block.type == "text")

    return ask


if __name__ == "__main__":
    main()
