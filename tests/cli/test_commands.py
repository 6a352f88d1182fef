"""The command line as a person meets it: what is printed, and the exit code."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.simulator import Fault, Settings, Simulator
from tests.kit import KEY, Workspace

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


pytestmark = pytest.mark.usefixtures("space")


@pytest.fixture
def space(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A job of ten items in the current directory."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, sim.openai_url).write(10)


def test_a_job_is_checked_tried_run_exported_and_reported(sim: Simulator, capsys: Printed) -> None:
    assert main(["check", "job"]) == 0
    assert "next: batchai try job" in capsys.readouterr().out
    assert main(["try", "job", "--show"]) == 0
    tried = capsys.readouterr().out
    assert "[user] Classify: text number 0 of many" in tried
    assert "3 of 3 valid, kept · $" in tried
    assert main(["run", "job", "--budget", "1"]) == 0
    ran = capsys.readouterr().out
    assert "10 succeeded (3 items were done before, nothing is sent twice)" in ran
    assert "of $1.00" in ran
    assert main(["export", "job", "--to", "out.xlsx"]) == 0
    assert main(["export", "job", "--to", "out.xlsx"]) == 0
    assert "10 succeeded" in capsys.readouterr().out
    assert main(["report", "job"]) == 0
    assert capsys.readouterr().out.startswith("10 succeeded")
    assert len(sim.received) == 10


@pytest.mark.parametrize("model", ["openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"])
def test_answers_are_shown_as_they_are_written(
    sim: Simulator, space: Workspace, capsys: Printed, model: str
) -> None:
    space.model = model
    space.url = sim.openai_url if model.startswith("openai") else sim.url
    space.write(10)
    assert main(["try", "job", "-n", "2", "--stream"]) == 0
    printed = capsys.readouterr()
    assert [received.body["stream"] for received in sim.received] == [True, True]
    first, second = printed.err.split("── k1 ──")
    assert '── k0 ──\n{"mood": "' in first
    assert '\n{"mood": "' in second
    assert "2 of 2 valid, kept" in printed.out


def test_money_is_not_spent_without_a_word(sim: Simulator, capsys: Printed) -> None:
    assert main(["run", "job"]) == 2
    assert "10 items, about $" in (said := capsys.readouterr().err)
    assert "--budget" in said
    assert len(sim.received) == 0


def test_failed_items_exit_1_unless_they_are_allowed(tmp_path: Path, capsys: Printed) -> None:
    settings = Settings(faults=lambda request, _: Fault.REFUSED if "0 " in request.prompt else None)
    with Simulator(settings) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(10)

        assert main(["run", str(space.job_path), "--yes"]) == 1
        assert "9 succeeded · 1 refused" in (said := capsys.readouterr().out)
        assert "--failed" in said

        space.top = "allow_failed: 10%"
        space.write_job()
        assert main(["run", str(space.job_path), "--yes"]) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("item.text", "item.txt"), "no column 'txt'; did you mean 'text'?"),
        (("key: id", "key: idd"), "no column 'idd'; did you mean 'id'?"),
        (("SIM_KEY", "OTHER_KEY"), "set OTHER_KEY in the environment"),
        (("data.csv", "date.csv"), "date.csv"),
        (("good, bad", "yes, no"), "job.yaml:4: schema.mood"),
        (("max_tokens: 64", "max_tokens: 64.5"), "job.yaml:2: model.max_tokens"),
        (("output:", "outputs:"), "did you mean output?"),
        (("openai/", "opnai/"), "openai"),
    ],
    ids=["column", "key", "api key", "file", "yaml", "number", "field", "provider"],
)
def test_what_is_wrong_before_spending_exits_2_with_place_and_remedy(
    space: Workspace, sim: Simulator, capsys: Printed, change: tuple[str, str], words: str
) -> None:
    space.job_path.write_text(space.job_path.read_text().replace(*change))

    assert main(["run", "job", "--yes"]) == 2

    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert len(sim.received) == 0


def test_a_bad_row_near_the_start_is_found_before_anything_is_spent(
    space: Workspace, sim: Simulator, capsys: Printed
) -> None:
    with (space.folder / "data.csv").open("a") as file:
        file.write("k0,the key was there before\n")

    assert main(["run", "job", "--yes"]) == 2
    assert "data.csv:12: the key id = 'k0' was there before" in capsys.readouterr().err
    assert len(sim.received) == 0

    assert main(["run", "job", "--yes", "--set", "input.on_bad_row=skip"]) == 0
    assert "1 bad row skipped, such as " in capsys.readouterr().out


def test_a_bad_row_far_down_stops_the_run_which_goes_on_once_it_is_mended(
    space: Workspace, sim: Simulator, capsys: Printed
) -> None:
    space.write({f"k{n}": f"text {n}" for n in range(1200)})
    good = (space.folder / "data.csv").read_text()
    (space.folder / "data.csv").write_text(good + "k1200\n")

    assert main(["run", "job", "--yes", "--set", "limits.concurrency=64"]) == 3
    assert "data.csv:1202" in capsys.readouterr().out

    (space.folder / "data.csv").write_text(good + "k1200,now with a text\n")
    assert main(["run", "job", "--yes", "--set", "limits.concurrency=64"]) == 0
    assert len(sim.received) == 1201


def test_items_come_from_stdin_too(
    space: Workspace, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.job_path.write_text(space.job_path.read_text().replace("path: data.csv", 'path: "-"'))
    lines = "".join(json.dumps({"id": f"s{n}", "text": f"line {n}"}) + "\n" for n in range(5))
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert main(["run", "job", "--yes"]) == 0
    assert len(sim.received) == 5


def test_a_second_run_of_the_same_job_is_refused(space: Workspace, sim: Simulator) -> None:
    sim.hold()
    first = space.start("run", "--yes")
    sim.wait_for(1)
    second = space.start("run", "--yes")
    _, said = second.communicate(timeout=60)
    sim.release()
    first.communicate(timeout=60)

    assert second.returncode == 5
    assert f"process {first.pid}" in said
    assert first.returncode == 0


def test_a_result_file_of_another_hand_is_not_overwritten(
    space: Workspace, sim: Simulator, capsys: Printed
) -> None:
    (space.folder / "out.csv").write_text("mine")

    assert main(["run", "job", "--yes"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert len(sim.received) == 0
    assert main(["run", "job", "--yes", "--overwrite"]) == 0


def test_retry_names_an_outcome_or_says_which_there_are(capsys: Printed) -> None:
    assert main(["run", "job", "--yes", "--retry", "invalit"]) == 2
    assert "invalid" in capsys.readouterr().err


def test_resume_goes_on_with_a_run(sim: Simulator) -> None:
    assert main(["try", "job", "-n", "2"]) == 0
    assert main(["resume", "job", "--yes"]) == 0
    assert len(sim.received) == 10


def test_try_sends_the_item_of_a_key_and_shows_what_is_there_already(
    sim: Simulator, capsys: Printed
) -> None:
    assert main(["try", "job", "--key", "k7"]) == 0
    assert main(["try", "job", "--key", "k7"]) == 0
    assert "done before, not sent again" in capsys.readouterr().out
    assert main(["try", "job", "--key", "k77"]) == 2
    assert [request.prompt for request in sim.received] == ["Classify: text number 7 of many"]


def test_a_plan_prices_what_a_run_would_send_and_spends_nothing(
    space: Workspace, sim: Simulator, capsys: Printed
) -> None:
    main(["run", "job", "--yes"])
    space.write({**space.texts, "k3": "edited", "new": "a new one"})
    capsys.readouterr()

    assert main(["plan", "job", "--json"]) == 0

    plan = json.loads(capsys.readouterr().out)
    assert plan["changes"] == {"same": 9, "edited": 1, "new": 1}
    assert plan["to_send"] == 2
    assert 0 < float(plan["cost_usd"]) < float(plan["worst_cost_usd"])
    assert len(sim.received) == 10


def test_no_key_appears_in_anything_that_is_printed_or_written(
    space: Workspace, capsys: Printed
) -> None:
    for command in (["run", "job", "--yes"], ["report", "job"], ["doctor"], ["check", "job"]):
        main(command)
    said = capsys.readouterr()

    assert KEY not in said.out + said.err
    for path in space.folder.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize("command", ["status", "report"])
def test_without_a_job_there_is_a_line_a_job(capsys: Printed, command: str) -> None:
    main(["run", "job", "--yes"])
    capsys.readouterr()
    assert main([command]) == 0
    assert "job" in capsys.readouterr().out


def test_before_the_first_run_a_report_says_so(capsys: Printed) -> None:
    assert main(["report", "job"]) == 4
    assert "has not been run" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["init", "try", "run", "show", "report", "plan", "check"])
def test_help_shows_examples(capsys: Printed, command: str) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"batchai {command} " in capsys.readouterr().out.partition("Examples:")[2]


def test_starting_the_command_imports_no_sdk() -> None:
    code = (
        "import sys; import batchai; import batchai.cli.commands;"
        "sys.exit(bool({'openai', 'anthropic', 'genai_prices', 'aiohttp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("number", ["x", "0", "-1", "2.5"])
def test_a_number_that_is_none_is_told_in_words(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["try", "job", f"-n={number}"])

    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"argument -n: must be a whole number of 1 or more, not '{number}'")
