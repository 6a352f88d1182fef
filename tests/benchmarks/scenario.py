"""The work that is measured: short feedback in, a validated answer of 0.6 KB out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batchai.simulator.server import Simulator
from batchai.simulator.settings import Settings

KEY_VARIABLE = "BATCHAI_BENCHMARK_KEY"
MODELS = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5"}
MAX_TOKENS = 512
SYSTEM = (
    "You classify customer feedback. Answer with the sentiment, a priority, and a summary of what "
    "the customer wants, in plain words and without names."
)
QUESTION = "Classify this feedback: "
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
        "priority": {"type": "string", "enum": ["high", "medium", "low"]},
        "summary": {"type": "string"},
    },
    "required": ["sentiment", "priority", "summary"],
    "additionalProperties": False,
}
RESULT = {
    "sentiment": "negative",
    "priority": "medium",
    "summary": "The parcel came late and one part was missing; a replacement is wanted. " * 7,
}
ANSWER = json.dumps(RESULT)
_TEXT = (
    "I ordered the blue kettle three weeks ago and it arrived only today, without its lid. The "
    "driver was friendly, but nobody answers the phone. Please send the lid. Order "
)
_LINES_AT_ONCE = 10_000


def items(count: int) -> Iterator[dict[str, Any]]:
    """So many items, each with a text of its own."""
    return ({"id": f"f-{number:08}", "text": f"{_TEXT}{number}."} for number in range(count))


def write_input(path: Path, count: int) -> None:
    """The items as JSON Lines."""
    with path.open("w") as file:
        lines: list[str] = []
        for item in items(count):
            lines.append(json.dumps(item) + "\n")
            if len(lines) == _LINES_AT_ONCE:
                file.writelines(lines)
                lines.clear()
        file.writelines(lines)


def append_item(path: Path) -> None:
    """One more line, so that the source is no longer what it was."""
    with path.open("a") as file:
        file.write(json.dumps({"id": "one-more", "text": _TEXT}) + "\n")


def write_job(
    folder: Path,
    *,
    provider: str,
    url: str,
    concurrency: int,
    requests_per_minute: int | None = None,
) -> Path:
    """A job over `items.jsonl` in the folder against a server; its path."""
    limits: dict[str, Any] = {"concurrency": concurrency}
    if requests_per_minute is not None:
        limits["requests_per_minute"] = requests_per_minute
    job = {
        "name": "benchmark",
        "input": {"path": "items.jsonl", "key": "id"},
        "model": {
            "name": f"{provider}/{MODELS[provider]}",
            "base_url": base_url(provider, url),
            "api_key_env": KEY_VARIABLE,
            "max_tokens": MAX_TOKENS,
        },
        "prompt": {"system": SYSTEM, "user": QUESTION + "{{ item.text }}"},
        "schema": SCHEMA,
        "output": "results.jsonl",
        "limits": limits,
        "budget_usd": 100_000,
    }
    path = folder / "benchmark.yaml"
    path.write_text(json.dumps(job, indent=1))  # JSON is YAML
    return path


def base_url(provider: str, url: str) -> str:
    """Where a provider's SDK looks for its paths on a server."""
    return f"{url}/v1" if provider == "openai" else url


def simulator() -> Simulator:
    """A server within this process, which tells when requests arrive."""
    return Simulator(Settings(answer=lambda _request: ANSWER))
