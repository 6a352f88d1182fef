"""Every kind of failure through the whole engine: what is retried, recorded, paid and reported."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.engine.runner import Reason
from batchai.simulator import Fault, Rates, Settings, SimRequest, Simulator, first_attempts
from tests.kit import Workspace

RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(2))
MODELS = ["openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"]


def _space(path: Path, sim: Simulator, model: str, top: str = "") -> Workspace:
    url = sim.openai_url if model.startswith("openai") else sim.anthropic_url
    return Workspace(path, url, model=model, top=top)


@pytest.mark.parametrize("model", MODELS, ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.RATE_LIMITED, "rate_limited"),
        (Fault.OVERLOADED, "overloaded"),
        (Fault.SERVER_ERROR, "server_error"),
        (Fault.RESET, "connection_lost"),
        (Fault.RESET_MID_BODY, "connection_lost"),
        (Fault.OK_HTML, "malformed"),
        (Fault.OK_ERROR, "malformed"),
        (Fault.EMPTY_TEXT, "empty"),
        (Fault.TRUNCATED, "truncated"),
        (Fault.INVALID_JSON, "invalid"),
        (Fault.SCHEMA_VIOLATION, "invalid"),
        (Fault.PROSE, "invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name.lower(),
)
def test_a_passing_failure_is_recorded_and_tried_again(
    tmp_path: Path, model: str, fault: Fault, outcome: str
) -> None:
    def once(request: SimRequest, _index: int) -> Fault | None:
        is_first = request.attempt == 1 and "cannot be used" not in request.prompt
        return fault if is_first and "number 1 " in request.prompt else None

    with Simulator(Settings(faults=once, retry_after_seconds=0.1)) as sim:
        space = _space(tmp_path, sim, model).write(3)
        summary = space.run()
        bill = sim.bill(RATES)

    assert summary.exit_code == 0
    assert _outcomes(space) == {"succeeded": 3, outcome: 1}
    assert summary.run.cost <= bill <= summary.run.cost + summary.run.unconfirmed


@pytest.mark.parametrize("model", MODELS, ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault.REFUSED, "refused"), (Fault.BAD_REQUEST, "rejected")],
    ids=["refused", "bad_request"],
)
def test_a_lasting_failure_fails_its_item_alone_and_at_once(
    tmp_path: Path, model: str, fault: Fault, kind: str
) -> None:
    settings = Settings(faults=first_attempts(9, fault, containing="number 1 "))
    with Simulator(settings) as sim:
        space = _space(tmp_path, sim, model).write(3)
        summary = space.run()
        bill = sim.bill(RATES)

    assert summary.exit_code == 1
    assert summary.failures == {kind: 1}
    assert summary.run.attempts == 3
    assert summary.run.cost == bill
    failed = next(row for row in space.exported() if row["id"] == "k1")
    assert failed["_status"] == "failed"
    assert failed["_error"].startswith(f"{kind}: ")


@pytest.mark.parametrize("model", MODELS, ids=["openai", "anthropic"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.AUTH, Reason.AUTH),
        (Fault.FORBIDDEN, Reason.AUTH),
        (Fault.QUOTA, Reason.QUOTA),
        (Fault.SPEND_LIMIT, Reason.QUOTA),
        (Fault.PAYMENT_REQUIRED, Reason.QUOTA),
        (Fault.UNKNOWN_MODEL, Reason.UNKNOWN_MODEL),
    ],
    ids=["auth", "forbidden", "quota", "spend_limit", "payment_required", "unknown_model"],
)
def test_what_no_item_is_to_blame_for_stops_the_run_and_leaves_the_rest_pending(
    tmp_path: Path, model: str, fault: Fault, reason: Reason
) -> None:
    with Simulator(Settings(faults=lambda _request, _index: fault)) as sim:
        space = _space(tmp_path, sim, model, "limits: {concurrency: 2}").write(50)
        summary = space.run()

        assert summary.exit_code == 3
        assert summary.end.reason is reason
        assert ("the key of SIM_KEY" in summary.end.detail) == (reason is Reason.AUTH)
        assert len(sim.received) <= 2
    assert {row.state for row in space.results()} == {"pending"}

    with Simulator() as sim:
        space.url = sim.openai_url if "openai" in model else sim.anthropic_url
        assert space.write_job().run().exit_code == 0


def test_stops_that_no_item_is_to_blame_for_use_up_none_of_its_attempts(tmp_path: Path) -> None:
    with Simulator(Settings(faults=lambda _request, _index: Fault.QUOTA)) as sim:
        space = _space(tmp_path, sim, MODELS[0], "attempts: 2").write(1)
        for _ in range(3):
            assert space.run().end.reason is Reason.QUOTA

    with Simulator(Settings(faults=first_attempts(1, Fault.SERVER_ERROR))) as sim:
        space.url = sim.openai_url
        assert space.write_job().run().exit_code == 0
        assert len(sim.received) == 2


def test_a_truncated_answer_is_asked_for_with_twice_the_tokens(tmp_path: Path) -> None:
    faults = first_attempts(2, Fault.TRUNCATED)
    with Simulator(Settings(faults=faults)) as sim:
        space = _space(tmp_path, sim, MODELS[0]).write(1)
        assert space.run().exit_code == 0

        assert [request.max_tokens for request in sim.received] == [64, 128, 256]


def test_an_invalid_answer_is_repaired_with_the_error_as_feedback(tmp_path: Path) -> None:
    with Simulator(Settings(faults=first_attempts(1, Fault.SCHEMA_VIOLATION))) as sim:
        space = _space(tmp_path, sim, MODELS[0]).write(1)
        assert space.run().exit_code == 0

        turns = sim.received[1].body["messages"]
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
        assert "cannot be used" in turns[2]["content"]


def test_fixed_values_stand_in_for_answers_that_stay_invalid(tmp_path: Path) -> None:
    top = "on_invalid: {repair: 1, then: {mood: bad}}"
    with Simulator(Settings(faults=lambda _request, _index: Fault.INVALID_JSON)) as sim:
        space = _space(tmp_path, sim, MODELS[0], top).write(1)
        summary = space.run()

        assert len(sim.received) == 2
    assert summary.exit_code == 0
    (row,) = space.exported()
    assert (row["mood"], row["_status"]) == ("bad", "succeeded")
    assert "fixed values" in row["_error"]


def test_attempts_are_bounded_and_retry_begins_anew(tmp_path: Path) -> None:
    top = "attempts: 2\nstop_if: {failed: 100%, of_last: 500}"
    with Simulator(Settings(faults=first_attempts(3, Fault.OK_HTML))) as sim:
        space = _space(tmp_path, sim, MODELS[0], top).write(1)
        assert space.run().failures == {"malformed": 1}
        assert len(sim.received) == 2

        from batchai.operations.run import RunOptions

        again = space.run(options=RunOptions(yes=True, retry=frozenset({"malformed"})))

        assert again.exit_code == 0
        assert len(sim.received) == 4


def test_most_of_the_first_items_failing_ends_a_broken_job(tmp_path: Path) -> None:
    top = "on_invalid: fail\nlimits: {concurrency: 2}"
    with Simulator(Settings(faults=lambda _request, _index: Fault.INVALID_JSON)) as sim:
        space = _space(tmp_path, sim, MODELS[0], top).write(100)
        summary = space.run()

        assert summary.end.reason is Reason.STOP_IF
        assert summary.exit_code == 3
        assert len(sim.received) <= 20
        assert summary.end.detail.startswith("11 of the first 20 items failed, 11 of them invalid")


def test_a_mended_prompt_goes_on_without_a_question_where_nothing_succeeded(
    tmp_path: Path,
) -> None:
    def answer(request: SimRequest) -> str:
        return '{"mood": "good"}' if request.prompt.startswith("Sort") else "Well, it is good."

    with Simulator(Settings(answer=answer)) as sim:
        space = _space(tmp_path, sim, MODELS[0]).write(40)
        assert space.run().end.reason is Reason.STOP_IF

        assert space.write_job(prompt="Sort: {{ item.text }}").run().exit_code == 0


def test_the_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = _space(tmp_path, sim, MODELS[0], "budget_usd: 0.003").write(60)
        summary = space.run()

        assert summary.end.reason is Reason.BUDGET
        assert summary.exit_code == 3
        assert Decimal("0.001") < sim.bill(RATES) <= Decimal("0.003")
        assert "budget" in summary.end.detail

        assert space.run("budget_usd=1").exit_code == 0
        assert len(sim.received) == 60


def test_an_item_that_cannot_be_rendered_fails_and_costs_nothing(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = _space(tmp_path, sim, MODELS[0]).write({"a": "3", "b": "none", "c": "4"})
        space.write_job(prompt="Twice: {{ 2 * (item.text | int(default=item.nothing)) }}")
        space.write_job(prompt="{{ (10 / (item.text | length - 4)) | string }}")
        summary = space.run()

        assert summary.failures == {"unrenderable": 1}
        assert len(sim.received) == 2


def _outcomes(space: Workspace) -> Counter[str]:
    """Attempts by outcome, as the ledger has them."""
    from batchai.store import Reader

    reader = Reader(space.job().store_path)
    try:
        rows = reader.query("SELECT outcome FROM attempts")
    finally:
        reader.close()
    return Counter(row[0] for row in rows)
