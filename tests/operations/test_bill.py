"""The independent bill: what the provider adds up itself from what it served, and the report."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.domain import State
from batchai.operations import report as operation
from batchai.operations.verify import verify
from batchai.simulator import Fault, Rates, Settings, SimRequest, Simulator
from batchai.simulator.record import Served
from batchai.store import Reader
from tests.kit import KEY, Workspace

RATES = {
    "gpt-5.4-mini": Rates(Decimal(1), Decimal(2), cache_read_mtok=Decimal("0.1")),
    "gpt-5.5": Rates(Decimal(3), Decimal("7.5")),
}
RULES = "All of the rules hold. " * 300  # long enough for the provider's cache
JOB = f"""\
input: {{path: data.csv, key: id}}
output: out.csv
budget_usd: 1
dedupe: true
stop_if: none
limits: {{concurrency: 4}}
steps:
  one:
    model: {{name: openai/gpt-5.4-mini, base_url: 'URL', api_key_env: SIM_KEY, max_tokens: 64,
      price: {{input_mtok: 1, output_mtok: 2, cache_read_mtok: 0.1}}}}
    prompt: {{system: '{RULES}', user: 'First: {{{{ item.text }}}}'}}
    schema: {{mood: [good, bad]}}
  two:
    model: {{name: openai/gpt-5.5, base_url: 'URL', api_key_env: SIM_KEY, max_tokens: 64,
      price: {{input_mtok: 3, output_mtok: 7.5}}}}
    prompt: {{user: 'Then: {{{{ item.text }}}} is {{{{ steps.one.mood }}}}'}}
    schema: {{mood: [good, bad]}}
"""


def test_the_report_equals_the_providers_own_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)
    with Simulator(Settings(faults=_fault)) as sim:
        space = Workspace(tmp_path, sim.openai_url)
        space.write({f"k{n}": f"text {n % 25} end" for n in range(60)})
        space.job_path.write_text(JOB.replace("URL", sim.openai_url))

        lost = _killed(space, sim)
        assert space.run().counts == {State.SUCCEEDED: 51, State.FAILED: 9}
        space.write_rows({"id": f"k{n}", "text": f"text {n % 27} end"} for n in range(60))
        space.run()
        bill = sim.bill(RATES)

    report = operation.report(space.job())
    assert lost > 0
    assert report.total.cost_usd == bill - lost
    assert report.total.unconfirmed_usd >= lost
    assert len(report.runs) == 2
    assert {line.model for line in report.models} == {f"openai/{name}" for name in RATES}
    outcomes = {line.outcome for line in report.outcomes}
    assert outcomes >= {"succeeded", "truncated", "refused", "invalid", "server_error", "unknown"}
    assert report.saved.copied > 30
    assert report.saved.cache_usd > 0
    assert verify(space.job()).different == 0


def _killed(space: Workspace, sim: Simulator) -> Decimal:
    """Kill a run with requests in flight; returns what they cost, which nobody read."""
    process = space.start("run")
    try:
        sim.wait_for_served(20, timeout_seconds=60)
        sim.hold()
        sim.hold()  # a turn of the server's loop later: what it had begun to answer is answered
        reader = Reader(space.job().store_path)
        give_up_at = time.monotonic() + 60
        while not 0 < reader.open_attempts()[0] == _unanswered(sim):  # else one is not recorded yet
            assert time.monotonic() < give_up_at
        reader.close()
        before = sim.bill(RATES)
    finally:
        process.kill()
        process.communicate(timeout=60)
    sim.release()
    sim.wait_for_served(sim.arrived_count, timeout_seconds=60)
    return sim.bill(RATES) - before


def _unanswered(sim: Simulator) -> int:
    return sum(one.served is Served.PENDING for one in sim.received)


def _fault(request: SimRequest, _index: int) -> Fault | None:
    """By text: 3 is refused, 5 invalid, 9 refused in step two; in the second run two at first."""
    step, *words = request.prompt.split()
    if step not in {"First:", "Then:"}:
        return Fault.SCHEMA_VIOLATION  # what is said to an invalid answer
    number, is_first = int(words[1]), request.attempt == 1
    match step, number:
        case "First:", 3:
            return Fault.REFUSED
        case "First:", 5:
            return Fault.SCHEMA_VIOLATION
        case "First:", 25 if is_first:
            return Fault.TRUNCATED
        case "First:", 26 if is_first:
            return Fault.SERVER_ERROR
        case "Then:", 9:
            return Fault.REFUSED
    return None
