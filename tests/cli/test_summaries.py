"""What `batchai run` says at its end: figures that agree with one another, and a remedy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.simulator import Fault, Settings, Simulator
from tests.kit import Workspace

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def space(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A job of ten items in the current directory."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(10)


def test_items_done_before_are_those_that_this_run_reused(
    space: Workspace, capsys: Printed
) -> None:
    assert main(["run", "job", "--limit", "4"]) == 0
    space.write({"k0": "edited", "k1": space.texts["k1"], "new": "a new one"})
    capsys.readouterr()
    assert main(["run", "job"]) == 0
    said = capsys.readouterr().out
    assert "3 succeeded (1 item was done before, nothing is sent twice)\n2 requests" in said


@pytest.mark.usefixtures("space")
def test_a_budget_too_small_for_one_request_is_told_in_plain_amounts(capsys: Printed) -> None:
    assert main(["run", "job", "--budget", "0.00000001"]) == 3
    said = capsys.readouterr().out
    assert "budget_usd: $0 of $0.00000001 is spent and $0 unconfirmed; the next" in said
    assert "0 succeeded · 10 to do\nNothing was sent.\n" in said


def test_only_second_requests_of_an_item_are_counted_as_retries(
    tmp_path: Path, capsys: Printed
) -> None:
    settings = Settings(faults=lambda _request, _index: Fault.SERVER_ERROR)
    with Simulator(settings) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1\nattempts: 3").write(1)
        assert main(["run", str(space.job_path)]) == 1
    assert "3 requests, 2 of them retries" in capsys.readouterr().out


def test_a_resumed_run_tells_its_launch_from_the_whole(space: Workspace, capsys: Printed) -> None:
    assert main(["run", "job", "--budget", "0.00175"]) == 3
    sent = sum(row.state == "succeeded" for row in space.results())
    assert 0 < sent < 10
    capsys.readouterr()
    assert main(["run", "job"]) == 0
    said = capsys.readouterr().out
    assert "in this launch (10 in the whole run), 0 of them retries" in said
    assert f"\n{10 - sent} request" in said


def test_a_bad_row_that_is_met_late_stops_the_run_with_a_remedy(
    space: Workspace, capsys: Printed
) -> None:
    data = space.folder / "data.csv"
    rows = "".join(f"k{number},text\n" for number in range(1100))
    data.write_text(f"id,text\n{rows}broken\n")
    assert main(["run", "job"]) == 3
    said = capsys.readouterr().out
    assert "data.csv:1102: has 1 fields, the header has 2" in said
    assert "mend it, or pass such rows over with `on_bad_row: skip`" in said


def test_the_plan_of_a_changed_job_names_the_command_that_will_not_be_refused(
    space: Workspace, capsys: Printed
) -> None:
    assert main(["run", "job"]) == 0
    space.write_job(prompt="Sort: {{ item.text }}")
    assert main(["plan", "job"]) == 0
    assert "Next: batchai run job --changed rerun" in capsys.readouterr().out


def test_what_to_type_next_is_of_the_same_job(space: Workspace, capsys: Printed) -> None:
    """Without what was changed it would be another one, and all of it would be sent again."""
    changes = ["--model", "openai/gpt-5.4-mini", "--var", "kind=very legal", "--set", "dedupe=true"]
    typed = "--model openai/gpt-5.4-mini --var 'kind=very legal' --set dedupe=true"
    space.write_job(prompt="{{ vars.kind }} {{ item.text }}")
    assert main(["try", "job", "-n", "1", *changes]) == 0
    assert f"Next: batchai run job {typed}\n" in capsys.readouterr().out
    assert main(["plan", "job", "--limit", "4", *changes]) == 0
    assert f"Next: batchai run job {typed} --limit 4\n" in capsys.readouterr().out
    assert main(["check", "job", "--budget", "1", *changes]) == 0
    assert f"next: batchai try job {typed} --budget 1\n" in capsys.readouterr().out
    assert main(["run", "job", "--limit", "4", *changes]) == 0
    assert f"Next: batchai run job {typed} --limit all   (the rest;" in capsys.readouterr().out
    assert main(["run", "job", *changes]) == 0
    assert "Next: batchai report job\n" in capsys.readouterr().out
