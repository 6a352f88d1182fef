"""`purge`: what was stored is searched for byte by byte."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.errors import RefusedError, StoreBusyError, StoreError
from batchai.operations.backup import backup
from batchai.operations.changes import approach_to, begin_scan
from batchai.operations.console import Silence
from batchai.operations.opening import opened
from batchai.operations.purge import Purge, purge
from batchai.operations.rehearse import rehearse
from batchai.operations.run import RunOptions
from batchai.operations.verify import verify
from batchai.simulator import Settings, SimRequest, Simulator
from batchai.store import open_reader
from batchai.store.lock import Lock
from tests.kit import Workspace

CANARY = "canary of a person named Zwetschgenbaum"


class Person(Silence):
    """Answers a question as told, and remembers it."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked = ""

    def ask(self, question: str) -> bool:
        self.asked = question
        return self.answer


def _answer(request: SimRequest) -> str:
    """Items of the canary are answered with it: half of them against the schema."""
    return json.dumps({"mood": f"{request.prompt} it said" if "x" in request.prompt else 5})


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    """A job that ran over the canary, in results, answers that failed, keys and rows."""
    with Simulator(Settings(answer=_answer)) as sim:
        space = Workspace(tmp_path / "jobs", sim.openai_url, top="on_invalid: fail")
        space.folder.mkdir()
        rows = {f"{CANARY} {n}": f"{CANARY} {'x' * (n % 2)}" for n in range(12)}
        space.write(rows | {"stays": "x"}).write_job(schema="{mood: string}")
        space.run()
        yield space


def holding(folder: Path) -> list[str]:
    """Files of the folder in whose bytes the canary stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(p.name for p in files if b"Zwetschgenbaum" in p.read_bytes())


def removing(space: Workspace, *, results: bool = False, removed: bool = False) -> Purge:
    return purge(space.job(), results=results, removed=removed, yes=True, console=Silence())


def test_nothing_of_a_purged_job_is_left(space: Workspace) -> None:
    job = space.job()
    backup(job)
    rehearse(job, [], console=Silence())
    space.run(options=RunOptions(fresh=True, yes=True))
    job.store_path.with_suffix(".spool").write_text(CANARY)
    stored = job.store_path.parent
    assert len(holding(stored)) >= 4
    witnesses = space.folder / "witnesses"  # other names of the same files outlive the purge
    witnesses.mkdir()
    for number, file in enumerate(p for p in stored.rglob("*") if p.is_file()):
        os.link(file, witnesses / str(number))

    made = removing(space)

    assert not stored.exists()
    assert holding(witnesses) == []
    assert [path.name for path in made.kept] == ["out.csv"]
    assert holding(space.folder) == ["data.csv", "out.csv"]
    with pytest.raises(StoreError, match="no store, nothing to remove"):
        removing(space)


def test_result_files_go_too_where_they_are_as_batchai_wrote_them(space: Workspace) -> None:
    main(["export", str(space.job_path), "--to", str(space.folder / "more.jsonl")])
    with (space.folder / "more.jsonl").open("a") as file:
        file.write("a line of mine\n")

    made = removing(space, results=True)

    assert [path.name for path in made.kept] == ["more.jsonl"]
    assert holding(space.folder) == ["data.csv", "more.jsonl"]


def test_a_result_that_lies_behind_a_link_is_removed_with_the_link(space: Workspace) -> None:
    link, target = space.folder / "linked.csv", space.folder / "elsewhere" / "real.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    main(["export", str(space.job_path), "--to", str(link)])
    assert "real.csv" in holding(space.folder)

    made = removing(space, results=True)

    assert not link.is_symlink()
    assert not target.exists()
    assert {link, target} <= set(made.files)
    assert holding(space.folder) == ["data.csv"]


def test_what_a_killed_run_left_in_the_write_ahead_log_goes_too(space: Workspace) -> None:
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA wal_autocheckpoint=0'); "
        "c.execute('INSERT INTO meta VALUES (\\'fact\\', ?)', (sys.argv[2],)); os._exit(9)"
    )
    store = space.job().store_path
    subprocess.run([sys.executable, "-c", code, str(store), CANARY], check=False)
    wal = store.with_name("job.db-wal")
    assert b"Zwetschgenbaum" in wal.read_bytes()
    os.link(wal, space.folder / "witness")
    removing(space)
    assert holding(space.folder) == ["data.csv", "out.csv"]


def test_rows_that_left_the_input_are_forgotten_and_their_costs_kept(space: Workspace) -> None:
    space.write({"stays": "x"}).write_job(schema="{mood: string}")
    space.run()
    job = space.job()
    before = open_reader(job.store_path)
    cost = sum(run.cost for run in before.runs())
    before.close()
    assert "job.db" in holding(space.folder)

    made = removing(space, removed=True)

    assert made.forgotten == 12
    assert holding(space.folder) == []
    after = open_reader(job.store_path)
    assert sum(run.cost for run in after.runs()) == cost > 0
    after.close()
    assert verify(job).different == 0
    space.write({"stays": "x", f"{CANARY} 3": "back again x"}).write_job(schema="{mood: string}")
    assert space.run().counts == {"succeeded": 2}


def test_no_row_is_forgotten_before_a_changed_input_was_read_to_its_end(space: Workspace) -> None:
    """A launch that dies in its scan leaves pending items out until they are seen again."""
    space.write({**space.texts, "new": "x"}).write_job(schema="{mood: string}")

    async def dies() -> None:
        async with opened(space.job(), console=Silence()) as found:
            await found.store.ledger.absorb([("reset_step", (1, "main"))])
            approach = approach_to(found.job, found.source, found.store.reader, changed=None)
            begin_scan(found.store, approach)

    asyncio.run(dies())
    with pytest.raises(RefusedError, match="not been read to its end"):
        removing(space, removed=True)
    space.run()
    assert removing(space, removed=True).forgotten == 0


def test_copies_that_may_still_hold_forgotten_rows_are_named(space: Workspace) -> None:
    backup(space.job())
    space.write({"stays": "x"}).write_job(schema="{mood: string}")
    space.run()
    made = removing(space, removed=True)
    assert "backups" in made.text
    assert "may still hold them" in made.text


def test_a_job_that_runs_is_left_alone(space: Workspace) -> None:
    lock = Lock(space.job().store_path.with_suffix(".lock"))
    try:
        with pytest.raises(StoreBusyError, match="another run holds this job"):
            removing(space)
    finally:
        lock.release()
    assert verify(space.job()).different == 0


def test_whatever_is_stored_is_its_owners_alone(space: Workspace) -> None:
    backup(space.job())
    rehearse(space.job(), [], console=Silence())
    stored = space.job().store_path.parent
    open_to_others = [
        path.name
        for path in [stored, *stored.rglob("*")]
        if path.stat().st_mode & 0o077 and ".rehearsal.csv" not in path.name  # a result file
    ]
    assert open_to_others == []


def test_a_person_is_asked_with_the_files_named(space: Workspace) -> None:
    nobody, no, yes = Silence(), Person(answer=False), Person(answer=True)
    for console in (nobody, no):
        with pytest.raises(RefusedError):
            purge(space.job(), console=console)
    assert "job.db" in no.asked
    assert "cannot be undone" in no.asked
    assert space.job().store_path.exists()
    purge(space.job(), console=yes)
    assert not space.job().store_path.exists()


def test_stores_of_other_jobs_stay_whatever_their_name(space: Workspace) -> None:
    folder = space.job().store_path.parent
    (folder / "job2.db").write_text("another's")
    (folder / "job.b.db").write_text("another's")
    with closing(sqlite3.connect(folder / "job.old7.db")) as other:
        other.execute("CREATE TABLE meta (key, value)")
        other.execute("INSERT INTO meta VALUES ('job_file', 'other.yaml')")
        other.commit()
    removing(space)
    assert sorted(p.name for p in folder.glob("*.db")) == ["job.b.db", "job.old7.db", "job2.db"]


def test_a_damaged_store_can_be_purged(space: Workspace) -> None:
    store = space.job().store_path
    store.write_bytes(b"rubble " + CANARY.encode())
    removing(space)
    assert not store.exists()


def test_a_launch_never_holds_a_lock_that_was_purged_beneath_it(tmp_path: Path) -> None:
    path = tmp_path / "job.lock"
    first = Lock(path)
    path.unlink()
    second = Lock(path)
    first.release()
    with pytest.raises(StoreBusyError):
        Lock(path)
    second.release()


def test_the_command_removes_with_a_word(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    job = str(space.job_path)
    assert main(["purge", job]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["purge", job, "--yes"]) == 0
    assert "overwritten first" in capsys.readouterr().out
