"""A disk that fills up or gets slow in the middle of a run."""

import asyncio
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.domain import Reply, State
from batchai.engine.runner import Reason
from batchai.simulator import Latency, Settings, Simulator
from tests.engine.rig import GOOD, rig, texts, ticks
from tests.kit import Workspace, prompts_of

ITEMS = 80


def test_answers_that_found_the_disk_full_are_kept_and_never_paid_again(tmp_path: Path) -> None:
    with Simulator(Settings(latency=Latency(0.05))) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="limits: {concurrency: 8}").write(ITEMS)
        folder = tmp_path / ".batchai"
        process = space.start("run", "--yes")
        sim.wait_for(20)
        size = (folder / "job.db-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
        output, errors = process.communicate(timeout=120)

        assert process.returncode == 4, errors
        assert "were saved to job.spool and will be taken in by the next run" in output + errors
        assert "Traceback" not in errors
        spool = folder / "job.spool"
        assert spool.stat().st_mode & 0o777 == 0o600
        answered = len(sim.received)
        assert 20 <= answered < ITEMS
        assert sum(row.state is State.SUCCEEDED for row in space.results()) < answered

        process = space.start("run", "--yes")
        output, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    assert "Took in the answers" in errors
    assert not spool.exists()
    assert len(prompts_of(sim.received)) == len(set(prompts_of(sim.received))) == ITEMS
    assert {row.state for row in space.results()} == {State.SUCCEEDED}
    assert len(space.exported()) == ITEMS


@pytest.mark.parametrize(
    ("blocks", "output", "code"),
    [(".batchai", "out.csv", 4), ("results", "results/out.csv", 2)],
    ids=["store", "results"],
)
def test_nothing_is_sent_where_nothing_could_be_kept(
    tmp_path: Path, blocks: str, output: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(3)
        (tmp_path / blocks).touch()  # a file where a folder must be
        settings = ["--set", f"output.path={tmp_path / output}"]
        assert main(["run", str(space.job_path), "--yes", *settings]) == code
        assert sim.received == []
    assert str(tmp_path / blocks) in capsys.readouterr().err


async def test_an_answer_holds_its_slot_until_it_is_durable(tmp_path: Path) -> None:
    async with rig(tmp_path, texts(20), top="limits: {concurrency: 4}") as it:
        with closing(sqlite3.connect(it.store.path, isolation_level=None)) as other:
            is_locked = asyncio.Event()

            def answer(_prompt: str, _before: int) -> Reply:
                if not other.in_transaction:
                    other.execute("BEGIN IMMEDIATE")  # commits wait, as for a slow disk
                    is_locked.set()
                return GOOD

            it.script.answer, it.script.latency_seconds = answer, 0
            working = asyncio.create_task(it.work())
            await is_locked.wait()
            await ticks(200)
            begun = it.store.ledger.new_attempt_id() - 1
            it.script.answer = lambda _prompt, _before: GOOD
        assert begun == 4
        assert (await working).reason is Reason.FINISHED
