"""Steps that send several requests for an item: what a part knows of what came before it."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from batchai.engine.runner import Reason
from batchai.operations.run import RunOptions, run_job
from batchai.simulator import Fault, Settings, SimRequest, Simulator
from tests.kit import KEY, Steps

MOOD = "schema: {mood: [good, bad]}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)


def test_parts_go_on_at_one_account_when_those_at_another_have_shown_that_the_job_is_sound(
    tmp_path: Path,
) -> None:
    def faults(request: SimRequest, _index: int) -> Fault | None:
        return Fault.REFUSED if request.model == "gpt-5.4-mini" else None

    with Simulator(Settings(faults=faults)) as sim:
        space = Steps(tmp_path, sim.openai_url)
        space.write(1)
        other = space.model_block("openai/gpt-4.1")
        each = f"foreach: '{list(range(30))}', prompt: 'Part {{{{ each }}}}', {MOOD}"
        space.steps(f"a: {{{each}, fallback: [{other}]}}", stop_if="{failed: 50%, of_last: 50}")

        async def within_a_minute() -> Reason:
            async with asyncio.timeout(60):
                return (await run_job(space.job(), RunOptions(yes=True))).end.reason

        assert asyncio.run(within_a_minute()) is Reason.FINISHED
        assert Counter(r.model for r in sim.received) == {"gpt-5.4-mini": 30, "gpt-4.1": 30}


@pytest.mark.parametrize("has_ended", [False, True], ids=["interrupted", "failed"])
def test_a_part_of_an_edited_row_is_asked_without_feedback_on_answers_about_the_old_one(
    tmp_path: Path, has_ended: bool
) -> None:
    def answer(request: SimRequest) -> str:
        return json.dumps({"mood": "of old" if "old" in request.prompt else "good"})

    settings = Settings(answer=lambda r: answer(r) if len(r.body["messages"]) == 1 else "of old")
    with Simulator(settings) as sim:
        space = Steps(tmp_path, sim.openai_url)
        space.write({"k0": "old"})
        each = f"a: {{foreach: '[1]', prompt: 'Part {{{{ item.text }}}}', {MOOD}}}"
        space.steps(each)
        process = space.start("run", "--yes")
        if not has_ended:
            sim.wait_for(2, timeout_seconds=60)
            process.kill()
        process.communicate(timeout=60)
        before = len(sim.received)
        space.write_rows([{"id": "k0", "text": "new"}])

        assert space.run().exit_code == 0
        (asked,) = list(sim.received)[before:]
        assert asked.body["messages"] == [{"role": "user", "content": "Part new"}]
