"""A disk that fills up in the middle of a run, through the real command line."""

import resource
from pathlib import Path

from batchai.domain import State
from batchai.simulator import Latency, Settings, Simulator
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
        output, errors = process.communicate(timeout=30)

        assert process.returncode == 4, errors
        assert "were saved to job.spool and will be taken in by the next run" in output + errors
        assert "Traceback" not in errors
        spool = folder / "job.spool"
        assert spool.stat().st_mode & 0o777 == 0o600
        answered = len(sim.received)
        assert 20 <= answered < ITEMS
        assert sum(row.state is State.SUCCEEDED for row in space.results()) < answered

        process = space.start("run", "--yes")
        output, errors = process.communicate(timeout=30)

    assert process.returncode == 0, errors
    assert "Took in the answers" in errors
    assert not spool.exists()
    assert len(prompts_of(sim.received)) == len(set(prompts_of(sim.received))) == ITEMS
    assert {row.state for row in space.results()} == {State.SUCCEEDED}
    assert len(space.exported()) == ITEMS
