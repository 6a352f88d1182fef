"""`dedupe`: equal requests are paid for once, and each item has its own result."""

from collections import Counter
from pathlib import Path

import pytest

from batchai.domain import State
from batchai.operations import report as operation
from batchai.operations.check import check as find
from batchai.operations.run import RunOptions
from batchai.operations.verify import verify
from batchai.simulator import Fault, Latency, Settings, SimRequest, Simulator
from tests.kit import KEY, PRICE, Workspace, prompts_of
from tests.operations.reported import RATES

LARGER = f"{{name: openai/gpt-4.1, price: {PRICE}}}"
ROWS = {f"k{n}": f"text {n % 5} end" for n in range(60)}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)


def test_equal_requests_are_sent_once_and_every_item_has_a_result(tmp_path: Path) -> None:
    with Simulator(Settings(latency=Latency(0.02))) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="dedupe: true\nbudget_usd: 1").write(ROWS)
        summary = space.run()
        assert summary.counts == {State.SUCCEEDED: 60}
        assert summary.progress.attempts == 5
        assert Counter(prompts_of(sim.received)) == {f"Classify: text {n} end": 1 for n in range(5)}
        bill = sim.bill(RATES)
    results = {row.key: row.result for row in space.results()}
    assert all(results[f"k{n}"] == results[f"k{n % 5}"] for n in range(60))
    report = operation.report(space.job())
    assert report.total.cost_usd == bill
    assert (report.saved.copied, report.saved.copied_usd) == (55, 11 * bill)
    assert "55 equal requests not sent again" in operation.to_text(report, "job")
    assert len(space.exported()) == 60
    assert verify(space.job()).different == 0


def test_a_later_run_takes_what_was_paid_for_before(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="dedupe: true\nbudget_usd: 1")
        space.write({"a": "one", "b": "two"}).run()
        assert space.write({"a": "one", "b": "two", "c": "two", "d": "one"}).run().exit_code == 0
        assert len(sim.received) == 2
        assert {row.key: row.lineage.cost_usd > 0 for row in space.results()} == {
            "a": True,
            "b": True,
            "c": False,
            "d": False,
        }


def test_what_failed_for_its_request_fails_for_all_and_can_be_retried(tmp_path: Path) -> None:
    is_refusing = True

    def fault(request: SimRequest, _index: int) -> Fault | None:
        return Fault.REFUSED if is_refusing and " 3 " in request.prompt else None

    with Simulator(Settings(faults=fault)) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="dedupe: true\nbudget_usd: 1").write(ROWS)
        assert space.run().counts == {State.SUCCEEDED: 48, State.FAILED: 12}
        assert len(sim.received) == 5
        is_refusing = False
        options = RunOptions(retry=frozenset(), yes=True)
        assert space.run(options=options).counts == {State.SUCCEEDED: 60}
        assert len(sim.received) == 6


def test_a_failure_of_the_provider_is_no_word_on_the_request(tmp_path: Path) -> None:
    def fault(request: SimRequest, _index: int) -> Fault | None:
        return Fault.SERVER_ERROR if request.attempt == 1 else None

    with Simulator(Settings(faults=fault)) as sim:
        top = "dedupe: true\nbudget_usd: 1\nattempts: 1\nstop_if: none"
        space = Workspace(tmp_path, sim.openai_url, top=top).write({"a": "x", "b": "x", "c": "x"})
        assert space.run().counts == {State.SUCCEEDED: 2, State.FAILED: 1}
        assert len(sim.received) == 2


def test_a_kill_in_between_pays_for_nothing_twice(tmp_path: Path) -> None:
    with Simulator() as sim:
        top = "dedupe: true\nbudget_usd: 1\nlimits: {concurrency: 1}"
        space = Workspace(tmp_path, sim.openai_url, top=top).write(ROWS)
        process = space.start("run")
        sim.wait_for_served(3, timeout_seconds=60)
        process.kill()
        process.communicate(timeout=60)
        assert space.run().counts == {State.SUCCEEDED: 60}
        assert len(sim.received) <= 5 + 1


def in_two_steps(folder: Path, sim: Simulator, *lines: str, second: str = "") -> Workspace:
    """A job whose second step asks about the answer of the first; `second`: more of that one."""
    model = f"name: openai/gpt-5.4-mini, base_url: '{sim.openai_url}', api_key_env: SIM_KEY"
    space = Workspace(folder, sim.openai_url).write(ROWS)
    space.job_path.write_text(
        "input: {path: data.csv, key: id}\noutput: out.csv\ndedupe: true\nbudget_usd: 1\n"
        f"model: {{{model}, price: {PRICE}}}\n"
        "steps:\n"
        "  one: {prompt: {user: 'First: {{ item.text }}'}}\n"
        f"  two: {{prompt: {{user: 'Then: {{{{ steps.one }}}}'}}{second}}}\n" + "\n".join(lines)
    )
    return space


def test_each_step_takes_what_an_equal_request_of_it_was_answered(tmp_path: Path) -> None:
    def answer(request: SimRequest) -> str:
        return "all alike" if request.prompt.startswith("First") else "the end"

    with Simulator(Settings(answer=answer, latency=Latency(0.02))) as sim:
        space = in_two_steps(tmp_path, sim, "retain: {items: false}")
        assert space.run().counts == {State.SUCCEEDED: 60}
        asked = Counter(prompts_of(sim.received))
        assert asked == {f"First: text {n} end": 1 for n in range(5)} | {"Then: all alike": 1}
        bill = sim.bill(RATES)
    assert {row.result["two"] for row in space.results()} == {"the end"}
    report = operation.report(space.job())
    assert (report.total.cost_usd, report.saved.copied) == (bill, 55 + 59)
    assert verify(space.job()).different == 0


def test_a_later_step_that_fails_for_its_request_fails_for_all(tmp_path: Path) -> None:
    def fault(request: SimRequest, _index: int) -> Fault | None:
        return Fault.REFUSED if request.prompt.startswith("Then") else None

    with Simulator(Settings(faults=fault, answer=lambda _: "all alike")) as sim:
        summary = in_two_steps(tmp_path, sim, "stop_if: none").run()
        assert summary.counts == {State.FAILED: 60}
        assert summary.failures == {"refused": 60}
        assert len(sim.received) == 5 + 1


def test_without_it_each_item_is_sent(tmp_path: Path) -> None:
    with Simulator() as sim:
        Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write({"a": "x", "b": "x"}).run()
        assert len(sim.received) == 2


@pytest.mark.parametrize(
    ("condition", "is_refused"),
    [("item.id != result", True), ("steps.one != result", True), ("result == 1", False)],
)
@pytest.mark.parametrize("judge", ["checks: ['<>']", f"escalate: {{if: '<>', model: {LARGER}}}"])
def test_what_judges_equal_answers_by_their_items_is_refused_with_it(
    tmp_path: Path, judge: str, condition: str, is_refused: bool
) -> None:
    with Simulator() as sim:
        space = in_two_steps(tmp_path, sim, second=f", {judge.replace('<>', condition)}")
    assert any("leave one of the two out" in line for line in find(space.job())) is is_refused
