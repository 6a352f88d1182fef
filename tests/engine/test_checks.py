"""Checks beyond the schema: what is sent after one failed, and what a change of them means."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.errors import SpecError
from batchai.operations.console import Silence
from batchai.operations.functions import trust_functions
from batchai.operations.run import RunOptions
from batchai.schemas import Checks
from batchai.simulator import Settings, SimRequest, Simulator
from batchai.spec.models import Function
from tests.kit import Workspace

LINE = "{type: object, properties: {amount: {type: integer}}}"
SCHEMA = f"{{total: integer, lines: {{type: array, items: {LINE}}}}}"
WRONG = {"total": 5, "lines": [{"amount": 1}, {"amount": 2}]}
RIGHT = {**WRONG, "total": 3}


def _space(folder: Path, sim: Simulator, checks: str) -> Workspace:
    space = Workspace(folder, sim.openai_url, top=f"checks: {checks}").write(1)
    return space.write_job(schema=SCHEMA)


def _mends(request: SimRequest) -> str:
    """A model that gives the right sum once it is told what is wrong."""
    return json.dumps(RIGHT if "cannot be used" in request.prompt else WRONG)


def _always(answer: object) -> Callable[[SimRequest], str]:
    return lambda _request: json.dumps(answer)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is trusted but what the test trusts."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "batchai" / "trusted"


def test_an_expression_that_does_not_hold_is_the_feedback_for_repair(tmp_path: Path) -> None:
    rule = "result.total == result.lines | map(attribute='amount') | sum"
    with Simulator(Settings(answer=_mends)) as sim:
        space = _space(tmp_path, sim, f'["{rule}"]')
        summary = space.run()

        assert summary.exit_code == 0
        first, feedback = sim.received[1].body["messages"][-2:]
    assert json.loads(first["content"]) == WRONG
    assert f"the check `{rule}` does not hold" in feedback["content"]
    assert [row.result for row in space.results()] == [RIGHT]


def test_an_expression_speaks_of_the_item_and_of_variables(tmp_path: Path) -> None:
    top = "checks: item.text ~ vars.mark == result.echo\nvars: {mark: '!'}\non_invalid: fail"
    with Simulator(Settings(answer=_always({"echo": "a!"}))) as sim:
        space = Workspace(tmp_path, sim.openai_url, top=top).write({"k1": "a", "k2": "b"})
        space.write_job(schema="{echo: string}").run()

    assert {row.key: row.state for row in space.results()} == {"k1": "succeeded", "k2": "failed"}


def test_an_expression_that_cannot_be_evaluated_makes_the_answer_invalid(tmp_path: Path) -> None:
    with Simulator(Settings(answer=_always(RIGHT))) as sim:
        space = _space(tmp_path, sim, "result.lines[7].amount > 0\non_invalid: fail")
        assert space.run().failures == {"invalid": 1}

    (row,) = space.results()
    assert "the check `result.lines[7].amount > 0`" in row.error


FUNCTIONS = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Sum:
    total: int

def total(result, item):
    due = Sum(sum(line["amount"] for line in result["lines"]))
    result["total"] = "spoilt"
    return None if item["id"] == "k0" and due.total == 3 else "never"

def told(result, item):
    return "" if result["total"] == 3 else f"total must be 3, not {result['total']}"

def bare(result, item):
    return result["total"] == 3

def raises(result, item):
    assert result["total"] == 3, "wrong total"

def odd(result, item):
    return 0
"""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("told", "total must be 3, not 5"),
        ("bare", "the check checks.py:bare does not hold"),
        ("raises", "checks.py:raises: AssertionError: wrong total"),
        ("odd", "checks.py:odd gave int: it must give"),
    ],
)
def test_what_a_trusted_function_says_is_the_feedback(
    tmp_path: Path, function: str, words: str
) -> None:
    (tmp_path / "checks.py").write_text(FUNCTIONS)
    with Simulator(Settings(answer=_mends)) as sim:
        space = _space(tmp_path, sim, f"checks.py:{function}")
        trust_functions(space.job(), yes=True, console=Silence())
        space.run()

        assert words in sim.received[1].body["messages"][-1]["content"]


def test_a_function_sees_the_item_and_changes_nothing_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(FUNCTIONS)
    with Simulator(Settings(answer=_always(RIGHT))) as sim:
        space = _space(tmp_path, sim, "checks.py:total")
        trust_functions(space.job(), yes=True, console=Silence())
        assert space.run().exit_code == 0

    assert [row.result for row in space.results()] == [RIGHT]


def test_a_file_that_is_not_trusted_or_has_changed_runs_nothing_and_spends_nothing(
    tmp_path: Path, config: Path
) -> None:
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'w').close()\ndef fine(result, item):\n    return True\n"
    (tmp_path / "checks.py").write_text(text)
    with Simulator(Settings(answer=_always(RIGHT))) as sim:
        space = _space(tmp_path, sim, "checks.py:fine")
        with pytest.raises(SpecError, match=r"is not trusted.*batchai trust"):
            space.run()
        trust_functions(space.job(), yes=True, console=Silence())
        assert config.stat().st_mode & 0o777 == 0o600
        (tmp_path / "checks.py").write_text(text + "# changed\n")
        with pytest.raises(SpecError, match=r"has changed since you trusted it"):
            space.run()

        assert not ran.exists()
        assert not sim.received


@pytest.mark.usefixtures("config")
def test_looking_at_a_job_runs_nothing_of_it_trusted_or_not(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with Simulator(Settings(answer=_always(RIGHT))) as sim:
        space = _space(tmp_path, sim, "checks.py:fine")
        (tmp_path / "checks.py").write_text("def fine(result, item):\n    return True\n")
        trust_functions(space.job(), yes=True, console=Silence())
        space.run()
        asked = len(sim.received)
        for is_trusted in (False, True):
            (tmp_path / "checks.py").write_text(
                f"open({str(ran)!r}, 'w').close()\ndef fine(result, item): ...\n"
            )
            if is_trusted:
                trust_functions(space.job(), yes=True, console=Silence())
            for command in ("status", "report", "export", "show"):
                assert main([command, str(space.job_path)]) == 0, command

        assert not ran.exists()
        assert len(sim.received) == asked


def test_a_file_that_does_not_load_is_told_before_anything_is_spent(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("import nothing_of_this_name\ndef f(result, item): ...\n")
    with Simulator() as sim:
        space = _space(tmp_path, sim, "checks.py:f")
        trust_functions(space.job(), yes=True, console=Silence())
        with pytest.raises(SpecError, match=r"checks.py: cannot be loaded: ModuleNotFoundError"):
            space.run()

        assert not sim.received


def test_a_change_of_checks_alone_judges_the_stored_results_again(tmp_path: Path) -> None:
    def answer(request: SimRequest) -> str:
        return json.dumps({"size": 1 if "small" in request.prompt else 9})

    rerun = RunOptions(yes=True, changed="rerun")
    with Simulator(Settings(answer=answer)) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="checks: result.size > 0")
        space.write({"k1": "small", "k2": "large"}).write_job(schema="{size: integer}").run()
        space.top = "checks: result.size < 5\non_invalid: fail"
        space.write_job(schema="{size: integer}").run(options=rerun)

        assert len(sim.received) == 3
        assert "large" in sim.received[2].prompt
        space.top = ""
        space.write_job(schema="{size: integer}").run(options=rerun)
        assert len(sim.received) == 4  # the one that the check had failed

    assert {row.key: row.state for row in space.results()} == {
        "k1": "succeeded",
        "k2": "succeeded",
    }


WAITS_FOR_ANOTHER = """
import threading
both = threading.Barrier(2)

def meets(result, item):
    both.wait(60)
"""


def test_a_slow_function_holds_up_no_other_item(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(WAITS_FOR_ANOTHER)
    with Simulator(Settings(answer=_always(RIGHT))) as sim:
        space = _space(tmp_path, sim, "checks.py:meets\nlimits: {concurrency: 2}").write(2)
        space.write_job(schema=SCHEMA)
        trust_functions(space.job(), yes=True, console=Silence())
        assert space.run().exit_code == 0  # each was there while the other one was


@pytest.mark.parametrize(
    "body", ["while True: pass", "threading.Event().wait(30)"], ids=["busy", "waiting"]
)
def test_a_function_that_does_not_end_is_an_invalid_answer(tmp_path: Path, body: str) -> None:
    source = f"import threading\ndef endless(result, item):\n    {body}\n".encode()
    path = tmp_path / f"{len(body)}.py"
    check = Function(name=f"{path.name}:endless", path=path, source=source)

    found = Checks([check], seconds=0.1).problem({}, {})

    assert found == f"the check {check.name} took longer than 0.1 s"


def test_a_busy_function_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    source = b"def endless(result, item):\n    while True: pass\n"
    check = Function(name="busy.py:endless", path=tmp_path / "busy.py", source=source)
    before = set(threading.enumerate())

    assert Checks([check], seconds=0.1).problem({}, {}) is not None

    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
