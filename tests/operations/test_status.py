"""Where a job stands: at work, stopped, done."""

import fcntl
import json
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from batchai.clock import Clock
from batchai.errors import StoreBusyError, StoreError
from batchai.operations import status as operation
from batchai.simulator import Fault, Served, Settings, Simulator, scripted
from batchai.store.lock import Lock, is_held
from tests.kit import Workspace
from tests.operations.launching import launched

CONCURRENCY = 4
LIMIT = f"limits: {{concurrency: {CONCURRENCY}}}\nbudget_usd: 1"


class Later(Clock):
    """A clock that is so far ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def utcnow(self) -> datetime:
        return super().utcnow() + self._ahead


def test_a_launch_at_work_is_seen_with_its_rate_and_what_is_in_flight(tmp_path: Path) -> None:
    with Simulator(Settings(faults=scripted([None, Fault.REFUSED]))) as sim:
        space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(300)
        with launched(space):
            _hold_after(sim, 10)
            found = operation.status(space.job())
            sim.release()
    assert found.is_working
    assert found.in_flight == CONCURRENCY
    assert found.at_risk_usd > 0
    assert 0 < found.done < found.total
    assert found.items_per_second is not None
    assert found.eta_seconds is not None
    text = operation.to_text(found, "job")
    assert text.startswith("at work for ")
    assert f"{CONCURRENCY} of {CONCURRENCY} in flight (up to $" in text
    assert "1 refused" in text
    assert "next:" not in text


def _hold_after(sim: Simulator, answers: int) -> None:
    """Let it answer so many requests at least, and hold as many as may be in flight."""
    sim.wait_for_served(answers)
    sim.hold()
    answered = sum(entry.served is not Served.PENDING for entry in sim.received)
    sim.wait_for(answered + CONCURRENCY)


def test_a_finished_job_says_how_it_ended_and_what_failed_last(tmp_path: Path) -> None:
    with Simulator(
        Settings(faults=lambda r, _: Fault.REFUSED if "number 1" in r.prompt else None)
    ) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(12)
        space.run()
    found = operation.status(space.job(), clock=Later(timedelta(hours=2)))
    assert not found.is_working
    assert (found.done, found.total) == (12, 12)
    assert (found.items_per_second, found.eta_seconds) == (None, None)
    assert found.failures == {"refused": 3}
    assert {line.key for line in found.last_failures} == {"k1", "k10", "k11"}
    assert all(line.error == "the model refused" and line.at for line in found.last_failures)
    text = operation.to_text(found, "job")
    assert text.startswith("finished (2:00 h ago, ")
    assert text.endswith("next: batchai show job --failed")
    value = json.loads(operation.to_json(found))
    assert value["schema_version"] == 1
    assert value["budget_usd"] == "1"
    assert value["launch"]["reason"] == "finished"


def test_items_that_were_never_sent_are_failures_too(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(4)
        space.write_job(prompt="{{ item.text.nothing.there }}")
        space.run()
    found = operation.status(space.job())
    assert found.failures == {"unrenderable": 4}
    assert [line.key for line in found.last_failures] == ["k3", "k2", "k1"]


def test_a_failure_that_left_the_input_counts_no_more(tmp_path: Path) -> None:
    plan = Settings(faults=lambda r, _: None if "three" in r.prompt else Fault.REFUSED)
    with Simulator(plan) as sim:
        space = Workspace(tmp_path, sim.openai_url).write({"a": "one", "b": "two", "c": "three"})
        space.run()
        assert operation.status(space.job()).failures == {"refused": 2}
        space.write({"b": "two", "c": "three"}).run()
        assert operation.status(space.job()).failures == {"refused": 1}


def test_a_launch_that_was_killed_is_told_with_what_it_left(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(20)
        sim.hold()
        process = space.start("run", "--yes")
        sim.wait_for(CONCURRENCY)
        process.kill()
        process.communicate(timeout=120)
        found = operation.status(space.job())
    assert not found.is_working
    assert found.launch is not None
    assert found.launch.reason == "died"
    assert found.in_flight == CONCURRENCY
    text = operation.to_text(found, "job")
    assert text.startswith("died (killed, or the power was lost); began ")
    assert f"{CONCURRENCY} in flight when it died (up to $" in text
    assert text.endswith("next: batchai run job")


@pytest.mark.parametrize("then", ["nothing", "another run"])
def test_a_launch_that_settled_all_when_it_was_interrupted_has_finished(
    tmp_path: Path, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that was left was in flight when Ctrl-C came, and was answered."""
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(CONCURRENCY)
        sim.hold()
        process = space.start("run", "--yes")
        sim.wait_for(CONCURRENCY, timeout_seconds=120)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "in flight" not in process.stderr.readline():
            pass
        sim.release()
        process.communicate(timeout=120)
        assert process.returncode == 130
        if then == "another run":
            space.run()
    found = operation.status(space.job())
    assert (found.done, found.total) == (CONCURRENCY, CONCURRENCY)
    assert operation.to_text(found, "job").startswith("finished (")
    assert "next:" not in operation.to_text(found, "job")
    monkeypatch.chdir(tmp_path)
    (line,) = operation.status_all()
    assert line.reason == "finished"


def test_a_launch_that_has_not_begun_to_send_is_not_taken_for_the_last_one(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top=LIMIT).write(4)
        space.run()
    lock = Lock(space.job().store_path.with_suffix(".lock"))
    found = operation.status(space.job())
    lock.release()
    assert found.is_working
    assert found.items_per_second is None
    assert operation.to_text(found, "job").startswith("at work, its first requests are being")


def test_an_exhausted_budget_asks_for_another(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 0.0005").write(30)
        space.run()
    text = operation.to_text(operation.status(space.job()), "job")
    assert text.startswith("stopped: the budget is used up (")
    assert text.endswith("next: batchai run job --budget AMOUNT")


def test_all_jobs_are_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Simulator() as sim:
        Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(4).run()
    lines = operation.status_all()
    assert [(line.job, line.done, line.is_working) for line in lines] == [("job", 4, False)]
    header, line = operation.all_to_text(lines).splitlines()
    assert line.split()[:4] == ["job", "4", "4", "100"]
    assert line.endswith("of $1.00  finished")
    assert header.endswith("state")
    assert json.loads(operation.all_to_json(lines))["total"]["items"] == 4


def test_a_job_that_was_not_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store yet"):
        operation.status(Workspace(tmp_path, "http://127.0.0.1:9/v1").write(1).job())


def test_probing_a_lock_takes_and_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "job.lock"
    assert not is_held(path)
    assert not path.exists()
    lock = Lock(path)
    assert is_held(path)
    assert is_held(path)
    with pytest.raises(StoreBusyError, match="another run holds this job"):
        Lock(path)
    lock.release()
    assert not is_held(path)
    Lock(path).release()


def test_probes_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "job.lock"
    Lock(path).release()
    with ThreadPoolExecutor(2) as threads:
        seen = list(threads.map(lambda _: is_held(path), range(500)))
    assert not any(seen)


def test_a_launch_that_meets_a_probe_waits_the_moment_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "job.lock"
    Lock(path).release()
    with path.open() as probe:
        fcntl.flock(probe, fcntl.LOCK_SH)
        threading.Timer(0.001, fcntl.flock, (probe, fcntl.LOCK_UN)).start()
        Lock(path).release()
