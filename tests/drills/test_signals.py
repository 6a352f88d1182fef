"""Promise 7: a signal ends a launch in good order, whatever it is at.

SIGINT and SIGTERM strike at named points, and at the n-th write or sync of the store: while it is
made, in recovery, in commits, in the export. What was answered is recorded, nothing is paid again.
"""

import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchai.domain import ResultRow
from batchai.errors import StoreError
from batchai.simulator import Fault, Latency, Settings, Simulator, first_attempts
from tests.drills.conftest import Figures, Scale
from tests.drills.jobs import (
    CONCURRENCY,
    assert_done,
    database,
    is_sound,
    repeats,
    workspace,
)
from tests.drills.processes import Finished, end_of, finish, injecting, started
from tests.kit import KEY, Workspace

ITEMS = 60
SIGNALS = (signal.SIGINT, signal.SIGTERM)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}

pytestmark = pytest.mark.usefixtures("strace")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a signal comes: `arrivals` have come to a server with these settings."""

    settings: Settings
    arrivals: int
    options: tuple[str, ...] = ()


MOMENTS = {
    "while attempts are in flight": Moment(Settings(latency=Latency(0.1)), 6),
    "while items wait for a retry": Moment(
        Settings(faults=first_attempts(2, Fault.SERVER_ERROR)), CONCURRENCY
    ),
    "while the provider tells to wait": Moment(
        Settings(faults=first_attempts(1, Fault.RATE_LIMITED), retry_after_seconds=30), 1
    ),
    "while a limit holds": Moment(Settings(), 10, ("--set", "limits.requests_per_day=10")),
}
CALLS = ("fdatasync", "pwrite64")
POINTS = {"fdatasync": (14, 2, 20, 9), "pwrite64": (150, 1, 60, 250)}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of an undisturbed run."""
    with pytest.MonkeyPatch.context() as patch, Simulator() as sim:
        patch.setenv("SIM_KEY", KEY)
        space = workspace(tmp_path_factory.mktemp("reference") / "job", sim, ITEMS)
        space.run()
    return space.folder / "out.csv"


@pytest.mark.parametrize("name", MOMENTS)
def test_a_signal_drains(
    tmp_path: Path, reference: Path, scale: Scale, figures: Figures, name: str
) -> None:
    moment = MOMENTS[name]
    for number in SIGNALS[: scale(1, 2)]:
        with Simulator(moment.settings) as sim:
            space = workspace(tmp_path / number.name, sim, ITEMS)
            command = space.command("run", "--yes", *moment.options)
            with started(command, space.folder) as process:
                sim.wait_for(moment.arrivals, timeout_seconds=30)
                process.send_signal(number)
                end = end_of(process)

            assert end.code == CODES[number], end.errors
            assert "batchai run job.yaml" in end.output
            _assert_all_recorded(space, sim)
        _assert_resumes(space, reference)
    figures(promise=7, signals=scale(1, 2), lost=0, doubled=0)


def test_a_signal_at_any_write_or_sync_ends_the_launch_in_good_order(
    tmp_path: Path, reference: Path, scale: Scale, figures: Figures
) -> None:
    struck, codes = 0, Counter[int]()
    for call in CALLS:
        for point in POINTS[call][:: scale(4, 1)]:
            for number in SIGNALS[struck % 2 : struck % 2 + 1] if scale(0, 1) == 0 else SIGNALS:
                with Simulator(Settings(latency=Latency(0.01))) as sim:
                    space = workspace(tmp_path / f"{call}{point}{number}", sim, ITEMS)
                    end = _struck_at(space, call, point, number)

                    # each thread counts for itself: the second of two may hit the store's closing
                    assert end.code in {0, CODES[number], -number}, (call, point, end.errors)
                    _assert_all_recorded(space, sim)
                _assert_resumes(space, reference)
                struck += 1
                codes[end.code] += 1
    figures(promise=7, signals=struck, lost=0, doubled=0, exit_codes=dict(codes))


@pytest.mark.parametrize("second", ["while it drains", "in a commit of the drain"])
def test_a_second_signal_leaves_at_once_and_costs_at_most_what_was_in_flight(
    tmp_path: Path, reference: Path, figures: Figures, second: str
) -> None:
    is_held = second == "while it drains"
    with Simulator(Settings(latency=Latency(0.05))) as sim:
        space = workspace(tmp_path / "job", sim, ITEMS)
        delay = injecting("fdatasync:delay_enter=200000:when=5+")
        command = space.command("run", "--yes")
        if is_held:
            sim.hold()
        with started(command if is_held else [*delay, *command], space.folder) as process:
            sim.wait_for(CONCURRENCY // 2, timeout_seconds=30)
            os.killpg(process.pid, signal.SIGINT)
            assert process.stderr is not None
            while "in flight" not in process.stderr.readline():
                pass
            os.killpg(process.pid, signal.SIGINT)
            end = end_of(process)

        assert end.code == 130, end.errors
        assert "Traceback" not in end.errors
        sent = len(sim.received)
        sim.release()
        assert space.run().exit_code == 0
        again = repeats(sim.received)
        assert again <= CONCURRENCY
        assert sent < ITEMS
    assert_done(space, reference)
    figures(promise=7, signals=2, lost=0, doubled=again, bound=CONCURRENCY)


def test_signals_while_the_store_closes_change_nothing(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    for number in SIGNALS[: scale(1, 2)]:
        with Simulator() as sim:
            space = workspace(tmp_path / number.name, sim, 20)
            assert space.run("input.limit=10").exit_code == 0
            store = space.job().store_path
            # of a store that is there, the database itself is only written when it is closed
            at_closing = injecting(f"pwrite64:signal={number.name}:when=1+", paths=[store])
            end = finish([*at_closing, *space.command("run", "--yes")], space.folder)

        assert end.code == 0, end.errors
        assert "Traceback" not in end.errors
        assert "20 succeeded" in end.output
        with database(store) as connection:
            assert is_sound(connection)
    figures(promise=7, signals=scale(1, 2), lost=0, doubled=0)


def _struck_at(space: Workspace, call: str, point: int, number: signal.Signals) -> Finished:
    fault = f"{call}:signal={number.name}:when={point}"
    return finish([*injecting(fault), *space.command("run", "--yes")], space.folder)


def _assert_all_recorded(space: Workspace, sim: Simulator) -> None:
    """Every answer that the server gave is in the store."""
    answered = {request.prompt for request in sim.received if request.status == 200}
    stored = {f"Classify: {space.texts[row.key]}" for row in _results(space) if row.result}
    assert stored == answered


def _assert_resumes(space: Workspace, reference: Path) -> None:
    """Over a healthy server the rest is sent, and nothing else."""
    with Simulator() as sim:
        done = sum(row.result is not None for row in _results(space))
        assert space.run(f"model.base_url={sim.openai_url}").exit_code == 0
        assert len(sim.received) == len(space.texts) - done
    assert_done(space, reference)


def _results(space: Workspace) -> list[ResultRow]:
    try:
        return space.results()
    except StoreError:  # not made yet
        return []
