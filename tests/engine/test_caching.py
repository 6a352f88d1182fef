"""Prompt caching: what all requests begin with is marked, warmed once, and paid for once."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchai.domain import CacheMark, Usage
from batchai.engine.caching import Warmth, lifetime
from batchai.operations import report as operation
from batchai.operations.trial import try_items
from batchai.simulator import Latency, Rates, Received, Settings, Simulator
from tests.kit import KEY, Workspace
from tests.virtual import VirtualClock, run_virtual

LONG = "You know all of these rules by heart. " * 700  # 26,600 characters
RATES = Rates(
    input_mtok=Decimal(1),
    output_mtok=Decimal(5),
    cache_read_mtok=Decimal("0.1"),
    cache_write_5m_mtok=Decimal("1.25"),
    cache_write_1h_mtok=Decimal(2),
)  # of claude-haiku-4-5


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(Settings(latency=Latency(0.05))) as running:
        yield running


def a_job(
    folder: Path,
    sim: Simulator,
    *,
    prompt: str,
    model: str = "anthropic/claude-haiku-4-5",
    top: str = "",
) -> Workspace:
    """A job over 12 items, with the prices of the price data."""
    url = sim.anthropic_url if model.startswith("anthropic") else sim.openai_url
    space = Workspace(folder, url).write(12)
    space.job_path.write_text(
        "input: {path: data.csv, key: id}\n"
        f"model: {{name: {model}, base_url: '{url}', api_key_env: SIM_KEY, max_tokens: 64}}\n"
        f"prompt: {prompt}\n"
        "schema: {mood: [good, bad]}\noutput: out.csv\nbudget_usd: 5\n"
        f"{top}\n"
    )
    return space


SYSTEM = f'{{system: "{LONG}", user: "Rate: {{{{ item.text }}}}"}}'


def test_a_long_system_prompt_is_written_once_and_read_by_all_others(
    tmp_path: Path, sim: Simulator
) -> None:
    space = a_job(tmp_path, sim, prompt=SYSTEM)
    space.run()
    usages = [usage for entry in sim.received if (usage := entry.usage)]
    assert [usage.cache_write_5m > 0 for usage in usages] == [True] + 11 * [False]
    assert {usage.cache_read for usage in usages[1:]} == {usages[0].cache_write_5m}
    first, *others = sim.received
    assert first.served_at is not None
    assert first.served_at < min(entry.arrived_at for entry in others)
    total = operation.report(space.job()).total
    assert total.cost_usd == sim.bill(RATES)
    plain = sum((usage.input * 1 + usage.output * 5 for usage in usages), 0) / Decimal(10**6)
    assert total.saved_by_cache_usd == plain - total.cost_usd > plain / 2


def test_only_the_prefix_is_marked_and_the_text_stays_as_it_is(
    tmp_path: Path, sim: Simulator
) -> None:
    prompt = f'{{user: "{LONG}Kind {{{{ vars.kind }}}}.\\n\\nText: {{{{ item.text }}}}"}}'
    space = a_job(tmp_path, sim, prompt=prompt, top="vars: {kind: short}")
    space.run()
    for entry in sim.received:
        ((turn),) = entry.body["messages"]
        static, own = turn["content"]
        assert static["text"] == f"{LONG}Kind short.\n\nText:"
        assert own["text"].startswith(" text number ")
        assert static["cache_control"] == {"type": "ephemeral"}
        assert "cache_control" not in own
    assert sum(entry.usage.cache_read > 0 for entry in sim.received if entry.usage) == 11


def test_how_requests_are_cached_is_no_part_of_what_they_ask(
    tmp_path: Path, sim: Simulator
) -> None:
    space = a_job(tmp_path, sim, prompt=SYSTEM)
    space.run()
    for setting in ("off", "1h", "5m"):
        assert not space.run(f"cache={setting}").progress.attempts
    assert len(sim.received) == 12


def test_an_hour_is_asked_for_where_it_is_wanted_or_requests_are_rare(
    tmp_path: Path, sim: Simulator
) -> None:
    space = a_job(tmp_path, sim, prompt=SYSTEM, top="cache: 1h")
    space.run()
    assert _controls(sim.received) == 12 * [{"type": "ephemeral", "ttl": "1h"}]
    report = operation.report(space.job())
    assert report.total.tokens.cache_write_1h > 0
    assert report.total.cost_usd == sim.bill(RATES)
    job = space.job("cache=auto", "limits.requests_per_day=100")
    assert lifetime(job.steps[0], job.limits) == "1h"
    job = space.job("cache=auto", "limits.requests_per_day=100000")
    assert lifetime(job.steps[0], job.limits) == "5m"


@pytest.mark.parametrize(
    ("prompt", "top"),
    [
        (SYSTEM, "cache: off"),
        ('{system: "Short rules.", user: "Rate: {{ item.text }}"}', ""),
        (f'{{user: "{{{{ item.text }}}} {LONG}"}}', ""),
    ],
    ids=["off", "too short for the model", "the item comes first"],
)
def test_what_cannot_be_shared_is_not_marked(
    tmp_path: Path, sim: Simulator, prompt: str, top: str
) -> None:
    a_job(tmp_path, sim, prompt=prompt, top=top).run()
    assert _controls(sim.received) == []
    assert sim.in_flight_peak > 1


def test_one_item_alone_is_not_marked_since_it_would_only_cost_more(
    tmp_path: Path, sim: Simulator
) -> None:
    space = a_job(tmp_path, sim, prompt=SYSTEM)
    asyncio.run(try_items(space.job(), count=1))
    assert _controls(sim.received) == []
    asyncio.run(try_items(space.job(), count=3))
    assert len(_controls(sim.received)) == 2


def test_openai_s_own_cache_is_led_to_one_machine_by_a_key(tmp_path: Path, sim: Simulator) -> None:
    space = a_job(tmp_path, sim, prompt=SYSTEM, model="openai/gpt-5.4-mini", top="cache: 5m")
    space.run()
    keys = {entry.body["prompt_cache_key"] for entry in sim.received}
    assert len(keys) == 1
    assert keys.pop().startswith("batchai-")
    reads = [entry.usage.cache_read for entry in sim.received if entry.usage]
    assert reads[0] == 0
    assert all(read % 128 == 0 and read > 6000 for read in reads[1:])
    rates = Rates(Decimal("0.75"), Decimal("4.50"), cache_read_mtok=Decimal("0.075"))
    total = operation.report(space.job()).total
    assert total.cost_usd == sim.bill(rates)
    assert total.saved_by_cache_usd == sum(reads) * Decimal("0.675") / 10**6


def test_another_server_is_not_sent_a_field_that_it_may_not_know(
    tmp_path: Path, sim: Simulator
) -> None:
    a_job(tmp_path, sim, prompt=SYSTEM, model="openai/gpt-5.4-mini").run()
    assert all("prompt_cache_key" not in entry.body for entry in sim.received)


def test_a_cache_that_has_gone_cold_is_warmed_again() -> None:
    async def play() -> None:
        clock = VirtualClock()
        warmth = Warmth(CacheMark(parts=1, chars=0, ttl="5m", key=""), clock)
        assert warmth.admits(0)
        assert not warmth.admits(1)
        warmth.take(Usage())  # not answered
        assert not warmth.admits(1)
        warmth.take(Usage(10, cache_write_5m=2000))
        assert warmth.admits(63)
        await clock.sleep(299)
        warmth.take(Usage(10, cache_read=2000))
        await clock.sleep(299)
        assert warmth.admits(1)
        await clock.sleep(2)
        assert not warmth.admits(1)

    run_virtual(play())


def test_a_provider_without_a_cache_is_waited_for_but_once() -> None:
    async def play() -> None:
        clock = VirtualClock()
        warmth = Warmth(CacheMark(parts=1, chars=0, ttl="5m", key=""), clock)
        for _ in range(3):
            warmth.take(Usage(2000))
            await clock.sleep(301)
        assert warmth.admits(5)

    run_virtual(play())


def _controls(received: list[Received]) -> list[dict[str, Any]]:
    found = []
    for entry in received:
        for holder in (entry.body.get("system"), *(t["content"] for t in entry.body["messages"])):
            blocks = holder if isinstance(holder, list) else []
            found += [block["cache_control"] for block in blocks if "cache_control" in block]
    return found
