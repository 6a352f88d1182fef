"""`fallback`, `escalate` and `on_too_long`: what is sent the second time, and what it costs."""

import asyncio
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.engine.runner import Reason
from batchai.operations.plan import plan
from batchai.operations.report import report
from batchai.operations.status import status
from batchai.operations.steer import stop
from batchai.operations.verify import verify
from batchai.simulator import Fault, FaultPlan, Rates, Settings, SimRequest, Simulator
from tests.kit import PRICE, Workspace
from tests.operations.launching import launched

RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(2))
OWN, SECOND, THIRD = "gpt-5.4-mini", "gpt-5.4-nano", "gpt-4.1"


def _model(sim: Simulator, name: str) -> str:
    return (
        f"{{name: openai/{name}, base_url: '{sim.openai_url}', api_key_env: SIM_KEY, "
        f"price: {PRICE}, max_tokens: 64}}"
    )


def _space(folder: Path, sim: Simulator, top: str, items: int = 1) -> Workspace:
    """`top` may name the models SECOND and THIRD."""
    for name in (SECOND, THIRD):
        top = top.replace(f"<{name}>", _model(sim, name))
    return Workspace(folder, sim.openai_url, top=top).write(items)


def _at(model: str, fault: Fault) -> FaultPlan:
    return lambda request, _index: fault if request.model == model else None


def _models(sim: Simulator) -> list[str]:
    return [request.model for request in sim.received]


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (Fault.REFUSED, [OWN, SECOND]),
        (Fault.BAD_REQUEST, [OWN, SECOND]),
        (Fault.CONTEXT_EXCEEDED, [OWN, SECOND]),
        (Fault.INVALID_JSON, [OWN, OWN, SECOND]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_would_fail_the_item_is_asked_of_the_next_model(
    tmp_path: Path, fault: Fault, asked: list[str]
) -> None:
    top = f"fallback: [<{SECOND}>, <{THIRD}>]\non_invalid: {{repair: 1, then: {{mood: bad}}}}"
    with Simulator(Settings(faults=_at(OWN, fault))) as sim:
        space = _space(tmp_path, sim, top)
        summary = space.run()
        bill = sim.bill(RATES)

        assert _models(sim) == asked
        first, last = sim.received[0], sim.received[-1]
        assert last.body["messages"] == first.body["messages"]  # anew, without feedback
    assert summary.exit_code == 0
    assert summary.run.cost == bill
    (row,) = space.results()
    assert row.lineage.attempts == len(asked)
    assert row.lineage.model is not None
    assert row.lineage.model.startswith(SECOND)


def test_fixed_values_stand_in_where_the_last_model_fails_too(tmp_path: Path) -> None:
    top = f"fallback: [<{SECOND}>, <{THIRD}>]\non_refused: {{mood: bad}}"
    with Simulator(Settings(faults=lambda _request, _index: Fault.REFUSED)) as sim:
        space = _space(tmp_path, sim, top)
        space.run()

        assert _models(sim) == [OWN, SECOND, THIRD]
    assert [row.result for row in space.results()] == [{"mood": "bad"}]


def test_only_named_outcomes_lead_to_another_model(tmp_path: Path) -> None:
    top = f"fallback: {{models: [<{SECOND}>], on: [invalid]}}"
    with Simulator(Settings(faults=_at(OWN, Fault.REFUSED))) as sim:
        space = _space(tmp_path, sim, top)
        assert space.run().failures == {"refused": 1}

        assert _models(sim) == [OWN]


def test_an_overloaded_model_is_left_at_once_where_that_is_named(tmp_path: Path) -> None:
    top = f"fallback: {{models: [<{SECOND}>], on: [overloaded]}}"
    with Simulator(Settings(faults=_at(OWN, Fault.OVERLOADED))) as sim:
        space = _space(tmp_path, sim, top)
        assert space.run().exit_code == 0

        assert _models(sim) == [OWN, SECOND]


def _unsure(request: SimRequest) -> str:
    sure = request.model == THIRD or "number 0 " in request.prompt
    return json.dumps({"mood": "good" if sure else "bad", "confidence": 0.9 if sure else 0.3})


SURE = "{mood: [good, bad], confidence: number}"
ESCALATE = f"escalate: {{if: result.confidence < 0.7, model: <{THIRD}>}}"


def test_an_answer_in_doubt_is_asked_again_of_the_larger_model(tmp_path: Path) -> None:
    with Simulator(Settings(answer=_unsure)) as sim:
        space = _space(tmp_path, sim, ESCALATE, items=2).write_job(schema=SURE)
        summary = space.run()
        bill = sim.bill(RATES)

        assert Counter(_models(sim)) == {OWN: 2, THIRD: 1}
        (again,) = (request for request in sim.received if request.model == THIRD)
        (small,) = (r for r in sim.received if r.model == OWN and r.prompt == again.prompt)
        assert again.body["messages"] == small.body["messages"]
    assert summary.exit_code == 0
    assert summary.run.cost == bill
    assert verify(space.job()).exit_code == 0
    assert [row.result["mood"] for row in space.results()] == ["good", "good"]
    assert [str(row.lineage.model).startswith(THIRD) for row in space.results()] == [False, True]


def test_the_small_models_answer_stands_where_the_larger_one_fails(tmp_path: Path) -> None:
    with Simulator(Settings(answer=_unsure, faults=_at(THIRD, Fault.REFUSED))) as sim:
        space = _space(tmp_path, sim, ESCALATE, items=2).write_job(schema=SURE)
        assert space.run().exit_code == 0

    row = space.results()[1]
    assert row.result == {"mood": "bad", "confidence": 0.3}
    assert row.error.startswith(f"doubted: openai/{THIRD} gave no other answer")
    assert report(space.job()).fixed == 0
    assert verify(space.job()).exit_code == 0
    assert str(row.lineage.model).startswith(OWN)
    (line,) = report(space.job()).policies
    assert (line.policy, line.attempts, line.items_rescued) == ("escalate", 1, 0)


@pytest.mark.parametrize(
    ("policy", "first", "asked"),
    [
        (f"fallback: [<{SECOND}>]", Fault.REFUSED, SECOND),
        (ESCALATE, None, THIRD),
        ("on_too_long: truncate", Fault.CONTEXT_EXCEEDED, OWN),
    ],
    ids=["fallback", "escalate", "on_too_long"],
)
def test_an_interrupted_item_goes_on_where_its_policy_has_brought_it(
    tmp_path: Path, policy: str, first: Fault | None, asked: str
) -> None:
    def broken(_request: SimRequest, index: int) -> Fault | None:
        return first if index == 0 else Fault.AUTH  # which leaves the item to the next launch

    with Simulator(Settings(answer=_unsure, faults=broken)) as sim:
        space = _space(tmp_path, sim, policy).write({"k": "number 1 " * 50})
        assert space.write_job(schema=SURE).run().exit_code == 3
        _, second = sim.received
        port = sim.port
    with Simulator(Settings(answer=_unsure, port=port)) as sim:
        assert space.run().exit_code == 0

        again = sim.received[0]
        assert (again.model, again.prompt) == (asked, second.prompt)
    (row,) = space.results()
    assert row.lineage.attempts == 3


def test_a_plan_bounds_the_cost_of_every_model_that_may_be_asked(tmp_path: Path) -> None:
    with Simulator() as sim:
        alone = _space(tmp_path, sim, "", items=3).job()
        both = _space(tmp_path, sim, f"fallback: [<{SECOND}>]", items=3).job()
    plans = [asyncio.run(plan(job)) for job in (alone, both)]

    assert plans[1].survey.worst == 2 * plans[0].survey.worst


def _window(chars: int) -> FaultPlan:
    """A model that takes prompts of so many characters."""
    return lambda request, _i: Fault.CONTEXT_EXCEEDED if len(request.prompt) > chars else None


def test_a_prompt_that_does_not_fit_is_sent_again_with_its_longest_field_cut(
    tmp_path: Path,
) -> None:
    with Simulator(Settings(faults=_window(4000))) as sim:
        space = _space(tmp_path, sim, "on_too_long: truncate")
        space.write({"k": "word " * 2000, "short": "fits"}).run()
        sent = [request.prompt for request in sim.received if "word" in request.prompt]
        bill = sim.bill(RATES)

    assert all(prompt.startswith("Classify: word word") for prompt in sent)
    assert len(sent[0]) == 10_010 > len(sent[-1]) <= 4000
    cut, whole = space.results()
    assert cut.state == "succeeded"
    assert cut.error.startswith("too_long: item.text was cut to its first ")
    assert whole.error == ""
    made = report(space.job())
    (line,) = made.policies
    assert (line.policy, line.items_rescued) == ("on_too_long", 1)
    assert made.total.cost_usd == bill
    assert verify(space.job()).exit_code == 0


def test_a_prompt_whose_length_is_the_jobs_own_is_not_cut(tmp_path: Path) -> None:
    with Simulator(Settings(faults=_window(10))) as sim:
        space = _space(tmp_path, sim, f"on_too_long: truncate\nfallback: [<{SECOND}>]")
        space.write({"k": "a"}).write_job(prompt="long " * 100 + "{{ item.text }}")
        assert space.run().failures == {"rejected": 1}

        assert _models(sim) == [OWN, SECOND]
    assert "no text of the item can be cut" in space.results()[0].error


def test_the_report_shows_what_each_policy_cost_and_rescued(tmp_path: Path) -> None:
    def faults(request: SimRequest, _index: int) -> Fault | None:
        if "number 0 " in request.prompt and request.model == OWN:
            return Fault.REFUSED
        is_first = "cannot be used" not in request.prompt
        return Fault.INVALID_JSON if "number 1 " in request.prompt and is_first else None

    with Simulator(Settings(faults=faults)) as sim:
        space = _space(tmp_path, sim, f"fallback: [<{SECOND}>]", items=3)
        space.run()

    made = report(space.job())
    lines = {line.policy: line for line in made.policies}
    assert {name: (line.attempts, line.items_rescued) for name, line in lines.items()} == {
        "on_invalid": (1, 1),
        "fallback": (1, 1),
    }
    assert 0 < sum(line.cost_usd for line in made.policies) < made.total.cost_usd


def test_the_windows_of_a_resumed_run_hold_what_other_models_of_the_account_were_asked(
    tmp_path: Path,
) -> None:
    dated = "gpt-5.4-mini-2026-03-17"  # of the same family, so of the same limits
    with Simulator(Settings(faults=_at(dated, Fault.REFUSED))) as sim:
        top = f"fallback: [{_model(sim, OWN)}]\nlimits: {{requests_per_day: 5}}"
        space = Workspace(tmp_path, sim.openai_url, model=f"openai/{dated}", top=top).write(2)
        space.run()
        assert len(sim.received) == 4
        space.write(3)
        with launched(space) as launch:
            sim.wait_for(5, timeout_seconds=120)
            while launch.summary is None and (status(space.job()).waits_for != "requests per day"):
                pass
            stop(space.job(), "job")
        assert len(sim.received) == 5
    assert launch.summary is not None
    assert launch.summary.end.reason is Reason.STOPPED
