"""The Python API: `from batchai import load_job, run, results, report`."""

import asyncio
import os
import signal
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from batchai import load_job, report, results, run
from batchai.errors import RefusedError, SpecError
from batchai.operations.run import RunSummary
from batchai.simulator import Simulator
from tests.kit import Workspace


def test_a_job_runs_and_gives_results_and_report(tmp_path: Path) -> None:
    with Simulator() as sim:
        job = load_job(Workspace(tmp_path, sim.openai_url).write(5).job_path, budget="1")
        summary = run(job)

    assert summary.exit_code == 0
    assert [row.key for row in results(job)] == ["k0", "k1", "k2", "k3", "k4"]
    assert all(row.result["mood"] in {"good", "bad"} for row in results(job))
    assert report(job).total.cost_usd == summary.run.cost > Decimal(0)


async def test_it_runs_inside_a_running_loop(tmp_path: Path) -> None:
    with Simulator() as sim:
        job = load_job(Workspace(tmp_path, sim.openai_url).write(3).job_path)
        assert run(job, yes=True).exit_code == 0


def test_a_notebooks_stop_drains_and_returns_what_is_done(tmp_path: Path) -> None:
    with Simulator() as sim:
        job = load_job(Workspace(tmp_path, sim.openai_url).write(30).job_path)
        sim.hold()

        def press() -> None:
            sim.wait_for(4)
            os.kill(os.getpid(), signal.SIGINT)
            sim.release()

        async def cell() -> RunSummary:
            return run(job, yes=True)

        presser = threading.Thread(target=press)
        presser.start()
        notebook = asyncio.new_event_loop()  # as a kernel's: SIGINT is a KeyboardInterrupt
        summary = notebook.run_until_complete(cell())
        notebook.close()
        presser.join()

    assert summary.exit_code == 130
    assert 4 <= summary.progress.succeeded < 30


def test_it_runs_over_mappings_and_sends_only_what_is_new(tmp_path: Path) -> None:
    with Simulator() as sim:
        job = load_job(Workspace(tmp_path, sim.openai_url).write(3).job_path)
        items = [{"id": n, "text": f"item {n}"} for n in range(4)]
        run(job, items, yes=True)
        run(job, (item for item in [*items, {"id": 9, "text": "more"}]), yes=True)

        assert len(sim.received) == 5
    assert [row.fields["id"] for row in results(job)] == [0, 1, 2, 3, 9]


def test_without_a_budget_it_asks_for_one(tmp_path: Path) -> None:
    with Simulator() as sim:
        job = load_job(Workspace(tmp_path, sim.openai_url).write(3).job_path)
        with pytest.raises(RefusedError, match="budget"):
            run(job)


def test_an_input_that_turns_out_empty_leaves_the_results_alone(tmp_path: Path) -> None:
    with Simulator() as sim:
        job = load_job(Workspace(tmp_path, sim.openai_url).write(2).job_path, budget="1")
        run(job)
        with pytest.raises(SpecError, match="items: holds no records"):
            run(job, items=[])

    assert (tmp_path / "out.csv").read_text().count("succeeded") == 2
