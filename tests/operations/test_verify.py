"""`report --verify`: every kind of tampering is found, and named."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.operations.export import export
from batchai.operations.verify import verify
from batchai.reports.verification import Verification
from batchai.simulator import Fault, Settings, SimRequest, Simulator, first_attempts
from batchai.store.lock import Lock
from tests.kit import KEY, Workspace

NASTY = '=1+1 "quoted",\nnew line\r\nand \r a lone one, \ud800\x00\x07 12e3 '
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx")


def _answer(request: SimRequest) -> str:
    word = request.prompt.split()[-1]
    return json.dumps({"mood": NASTY + word, "score": len(word) / 3, "big": 2**60, "tags": [word]})


def _fault(request: SimRequest, index: int) -> Fault | None:
    if "never" in request.prompt:
        return Fault.REFUSED
    return first_attempts(1, Fault.SERVER_ERROR, containing="slow")(request, index)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a finished job: successes, a refusal, retries."""
    folder = tmp_path_factory.mktemp("verified")
    with (
        Simulator(Settings(answer=_answer, faults=_fault)) as sim,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("SIM_KEY", KEY)
        space = Workspace(folder, sim.openai_url, top="limits: {concurrency: 4}")
        rows = {f"k{n}": f"row {n} ok" for n in range(8)} | {"bad": "never", "slow": "a slow one"}
        space.write(rows).write_job(
            schema="{mood: string, score: number, big: integer, tags: list of string}"
        )
        space.run()
    yield folder


@pytest.fixture
def space(made: Path, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    marks = tmp_path / ".batchai/job.exports.json"
    marks.write_text(marks.read_text().replace(str(made), str(tmp_path)))
    return Workspace(tmp_path, "http://127.0.0.1:9")


def tamper(space: Workspace, *statements: str) -> None:
    """What no batchai would write."""
    with closing(sqlite3.connect(space.job().store_path)) as connection:
        connection.execute("PRAGMA foreign_keys=off")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def differences(made: Verification) -> dict[str, tuple[str, ...]]:
    """What was found, by check."""
    return {check.name: check.differences for check in made.checks if check.different}


def test_a_store_that_nobody_touched_is_verified(space: Workspace) -> None:
    made = verify(space.job())
    assert differences(made) == {}
    assert made.exit_code == 0
    assert [check.name for check in made.checks] == [
        "database", "items", "attempts", "counters", "report", "export",
    ]  # fmt: skip


LAST = "(SELECT max(id) FROM attempts)"
TAMPERED = {
    "an attempt vanished": (
        f"DELETE FROM attempts WHERE id = {LAST}",
        {"counters": "attempts, the ledger has"},
    ),
    "an attempt was doubled": (
        "INSERT INTO attempts SELECT 1000, item_id, step, part, number, run_id, launch_id, model, "
        "max_tokens, input_estimate, worst_pico, sent_at, closed_at, outcome, cost_pico, "
        "unconfirmed_pico, uncached_input, cache_read, cache_write_5m, cache_write_1h, output, "
        "reasoning, latency_ms, resolved_model, status, request_id, detail, answer, "
        "saved_pico, purpose, delivery FROM attempts WHERE id = 1",
        {"counters": "counts 1 attempts, the ledger has 2"},
    ),
    "a cost was changed": (
        "UPDATE attempts SET cost_pico = cost_pico + 1 WHERE id = 1",
        {"counters": "pico-dollars, its attempts cost"},
    ),
    "a run's counter was changed": (
        "UPDATE runs SET cost_pico = cost_pico - 1",
        {"counters": "run 1 counts"},
    ),
    "an unconfirmed cost was hidden": (
        "UPDATE attempts SET outcome = 'unknown' WHERE id = 1",
        {"attempts": "attempt 1 is unknown, but 0 of its"},
    ),
    "an attempt was left open": (
        "UPDATE attempts SET outcome = NULL WHERE id = 1",
        {"attempts": "neither closed nor accounted for"},
    ),
    "an attempt ended in no known way": (
        "UPDATE attempts SET outcome = 'fine' WHERE id = 1",
        {"attempts": "ended as fine, which is none"},
    ),
    "an attempt lost its run": (
        "UPDATE attempts SET run_id = 7 WHERE id = 1",
        {"attempts": "belongs to no run"},
    ),
    "an attempt lost its item": (
        "UPDATE attempts SET item_id = 700 WHERE id = 1",
        {"database": "refers to a row of items"},
    ),
    "an item lost its state": (
        "DELETE FROM item_steps WHERE item_id = 1",
        {"items": "has no state in step main", "attempts": "belongs to no item"},
    ),
    "a result vanished": (
        "UPDATE item_steps SET result = NULL WHERE item_id = 1",
        {"items": "succeeded, but has no result", "export": "mood is"},
    ),
    "a result is no JSON": (
        "UPDATE item_steps SET result = '{' WHERE item_id = 1",
        {"items": "its result is no JSON"},
    ),
    "a result was changed": (
        "UPDATE item_steps SET result = json_set(result, '$.mood', 'good') WHERE item_id = 1",
        {"export": "(k0): mood is"},
    ),
    "a failure became a success": (
        "UPDATE item_steps SET state = 'succeeded', outcome = 'succeeded', result = '{}' "
        "WHERE state = 'failed'",
        {"counters": "succeeded, but no attempt was answered", "export": "_status is 'failed'"},
    ),
    "a state is none": (
        "UPDATE item_steps SET state = 'done' WHERE item_id = 1",
        {"items": "has the state done, which is none"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_each_tampering_with_the_store_is_named(space: Workspace, name: str) -> None:
    statement, expected = TAMPERED[name]
    tamper(space, statement)
    made = verify(space.job())
    assert made.exit_code == 1
    found = differences(made)
    for check, words in expected.items():
        assert any(words in line for line in found.get(check, ())), (check, words, found)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_result_file_of_each_format_is_read_again(space: Workspace, suffix: str) -> None:
    job = space.job(f"output=again.{suffix}", "output.lineage=true")
    export(job)
    made = verify(job)
    assert differences(made) == {}
    assert "in each of 10 rows" in made.checks[-1].proof

    tamper(space, "UPDATE item_steps SET result = json_set(result, '$.score', 9) WHERE item_id = 4")
    (line,) = [line for line in differences(verify(job))["export"] if "k3" in line]
    assert "score is" in line
    assert "0.666" in line.partition("in the store")[0]


@pytest.mark.parametrize("change", ["changed", "shortened", "lengthened", "cut", "binary"])
def test_each_tampering_with_the_result_file_is_named(space: Workspace, change: str) -> None:
    path = space.folder / "out.csv"
    text = path.read_bytes()
    first = text.index(b"\nk1,")
    changed, words = {
        "changed": (text.replace(b"row 5 ok,", b"row 5 OK,"), "(k5): text is 'row 5 OK'"),
        "shortened": (text[: text.index(b"\nslow,") + 1], "(slow) is in the store, but not"),
        "lengthened": (text + b"k99,more\n", "is in the file, but not in the store"),
        "cut": (text[:first] + b"\nk1\n" + text[first + 1 :], "(k1): text is missing"),
        "binary": (b"\xff\xfe" + text, "cannot be compared"),
    }[change]
    path.write_bytes(changed)
    found = differences(verify(space.job()))
    assert list(found) == ["export"]
    assert any(words in line for line in found["export"]), found


def test_a_file_of_another_hand_or_none_is_not_compared(space: Workspace) -> None:
    path = space.folder / "out.csv"
    (space.folder / "other.csv").write_text("mine")
    other = verify(space.job("output=other.csv")).checks[-1]
    path.unlink()
    none = verify(space.job()).checks[-1]
    assert other.proof.endswith("other.csv was not written by this job, not compared")
    assert other.different == 0
    assert (none.different, none.proof) == (0, "no result file yet")


def test_answers_in_a_spool_are_a_difference(space: Workspace) -> None:
    space.job().store_path.with_suffix(".spool").write_text("{}\n")
    (line,) = differences(verify(space.job()))["database"]
    assert "holds paid answers" in line


def test_a_damaged_index_is_a_difference(space: Workspace) -> None:
    tamper(
        space,
        "PRAGMA writable_schema=on",
        "UPDATE sqlite_schema SET sql = replace(sql, '(state, step, part, item_id)', "
        "'(state, item_id, step)') WHERE name = 'ix_item_steps_state'",
    )
    assert "ix_item_steps_state" in differences(verify(space.job()))["database"][0]


def test_what_a_run_has_in_flight_is_no_difference(space: Workspace) -> None:
    tamper(
        space,
        "UPDATE attempts SET outcome = NULL, closed_at = NULL WHERE id = 1",
        "UPDATE item_steps SET state = 'pending', attempts = 0, cost_pico = 0 WHERE item_id = "
        "(SELECT item_id FROM attempts WHERE id = 1)",
        "UPDATE runs SET attempts = attempts - 1, cost_pico = cost_pico - "
        "(SELECT cost_pico FROM attempts WHERE id = 1)",
    )
    lock = Lock(space.job().store_path.with_suffix(".lock"))
    try:
        made = verify(space.job())
    finally:
        lock.release()
    assert differences(made) == {}
    assert "1 in flight" in made.checks[2].proof
    assert made.checks[-1].proof == "not compared while a run works"


def test_texts_that_a_workbook_cannot_hold_are_told(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(
        space,
        "UPDATE item_steps SET result = json_set(result, '$.mood', printf('%.*c', 40000, 'x')) "
        "WHERE item_id = 1",
    )
    target = space.folder / "wide.xlsx"
    assert main(["export", str(space.job_path), "--to", str(target)]) == 0
    assert "1 text longer than a cell of Excel holds" in capsys.readouterr().out
    assert differences(verify(space.job("output=wide.xlsx"))) == {}


def test_the_command_says_it_in_words_and_in_json(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    job = str(space.job_path)
    assert main(["report", job, "--verify"]) == 0
    assert "Verified: everything agrees · job" in capsys.readouterr().out
    path = space.folder / "out.csv"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"row 5 ok,", b"row 5 OK,"))
    assert main(["report", job, "--verify"]) == 1
    *_, difference, remedy, verdict = capsys.readouterr().out.splitlines()
    assert difference == "  line 7 (k5): text is 'row 5 OK', in the store 'row 5 ok'"
    assert "batchai export writes it anew" in remedy
    assert verdict == "NOT verified: 1 difference · job"
    path.write_bytes(whole)
    tamper(space, "UPDATE runs SET attempts = 99")
    assert main(["report", job, "--verify"]) == 1
    assert "run 1 counts 99 attempts" in capsys.readouterr().out
    assert main(["report", job, "--verify", "--json"]) == 1
    (counters,) = [c for c in json.loads(capsys.readouterr().out)["checks"] if c["different"]]
    assert (counters["name"], counters["different"]) == ("counters", 1)


def test_a_killed_run_is_told_and_verified_after_its_resume(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="limits: {concurrency: 3}").write(9)
        sim.hold()
        with space.start("run", "--yes") as process:
            sim.wait_for(3, timeout_seconds=60)
            process.kill()
        sim.release()
        (line,) = differences(verify(space.job()))["attempts"]
        assert "3 attempts neither closed nor accounted for" in line
        space.run()
        made = verify(space.job())
        assert sim.arrived_count == 12
    assert differences(made) == {}
    assert "12 closed" in made.checks[2].proof
    assert "$0 unconfirmed" not in made.checks[2].proof
