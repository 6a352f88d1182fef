"""`batchai demo`: a job on the simulator that is killed and resumed before the user's eyes.

The job is a real process and the kill a real SIGKILL; the provider's own log is the judge.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import batchai
from batchai.domain import MAIN_STEP, NO_COST, State, Usage
from batchai.errors import BatchaiError
from batchai.reports.words import counted, usd
from batchai.simulator import Latency, Rates, Received, Settings, Simulator
from batchai.store import Reader

Say = Callable[[str], None]

_ITEMS = 200  # about ten seconds
_KILL_SHARE = 0.4  # of them answered by the provider
_PATIENCE_SECONDS = 60.0
_LATENCY = Latency(0.2, sigma=0.4, seed=1)
_RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(5))
_MTOK = Decimal(1_000_000)
_JOB = """\
input: {{path: feedback.csv, key: feedback_id}}
model:
  name: openai/simulated
  base_url: {url}
  api_key_env: none
  price: {{input_mtok: {input}, output_mtok: {output}}}
prompt: "Classify this feedback: {{{{ item.text }}}}"
schema:
  sentiment: [positive, neutral, negative]
  key_issue: string
output: results.csv
budget_usd: 1
"""
_PRODUCTS = ("card reader", "invoice app", "web shop", "stock list", "time clock", "till")
_VERDICTS = (
    "works as it should, thank you",
    "lost my settings after the update",
    "is slow on Monday mornings",
    "was easy to set up",
    "does not print the second page",
    "could use a darker theme",
    "saved me an hour a day",
    "charges me twice for one sale",
)


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a store says; costs in USD."""

    succeeded: int
    in_flight: int
    cost: Decimal
    unconfirmed: Decimal


@dataclass(frozen=True, slots=True)
class _Books:
    """The provider's log after the last launch. repeats: requests for what had been asked before.

    lost: what it billed for answers that the kill cut off, USD.
    """

    requests: int
    repeats: int
    bill: Decimal
    lost: Decimal


@dataclass(frozen=True, slots=True)
class _Ending:
    """All that is compared."""

    killed: _Standing
    end: _Standing
    books: _Books


def demo(*, say: Say, items: int = _ITEMS) -> bool:
    """Show it in about ten seconds; False where a promise was broken. Leaves nothing behind.

    Raises BatchaiError where the job did not run at all.
    """
    with (
        TemporaryDirectory(prefix="batchai-demo-") as name,
        Simulator(Settings(latency=_LATENCY, require_key=False)) as simulator,
    ):
        folder = Path(name)
        keys = _write(folder, simulator, items)
        say(
            f"A job of {items} pieces of customer feedback, on a simulated provider: nothing "
            "leaves this\nmachine and nothing is paid for."
        )
        say("\n$ batchai run feedback")
        _kill_at(int(items * _KILL_SHARE), folder, simulator)
        killed = _standing(folder)
        say(
            f"Killed (SIGKILL, no goodbye) at {killed.succeeded} of {items} done, with "
            f"{counted(killed.in_flight, 'request')} in flight."
        )
        say("\n$ batchai run feedback     (the same again)")
        _resume(folder)
        end = _Ending(killed, _standing(folder), _books(simulator.received))
        return _compared(end, keys, _result_keys(folder / "results.csv"), say)


def _write(folder: Path, simulator: Simulator, items: int) -> list[str]:
    """Job and input, the same in every demo; returns the items' keys."""
    keys = [f"F{number:04}" for number in range(1, items + 1)]
    job = _JOB.format(url=simulator.openai_url, input=_RATES.input_mtok, output=_RATES.output_mtok)
    (folder / "feedback.yaml").write_text(job, encoding="utf-8")
    choose = Random(1)
    with (folder / "feedback.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["feedback_id", "text"])
        for key in keys:
            text = f"The {choose.choice(_PRODUCTS)} {choose.choice(_VERDICTS)}. ({key})"
            rows.writerow([key, text])
    return keys


def _kill_at(answers: int, folder: Path, simulator: Simulator) -> None:
    """Launch the job, and kill it once the provider has answered so often."""
    with _launch(folder) as process:
        _wait_for(answers, simulator, process)
    if sys.stderr.isatty():
        sys.stderr.write("\n")  # the bar ends where it was


def _resume(folder: Path) -> None:
    with _launch(folder) as process:
        printed, _ = process.communicate()
    if process.returncode != 0:
        raise BatchaiError(f"demo: the job ended with exit code {process.returncode}:\n{printed}")


def _compared(ending: _Ending, keys: list[str], results: list[str], say: Say) -> bool:
    """The job's books beside the provider's, in words; whether every promise was kept."""
    killed, end, books = ending.killed, ending.end, ending.books
    kept = (
        sorted(results) == keys and end.succeeded == len(keys),
        books.repeats <= killed.in_flight,
        end.cost == books.bill - books.lost and books.lost <= end.unconfirmed,
    )
    say("\nDone. The job's books beside the provider's own log:")
    say(f"  {_mark(kept[0])} items     {len(results)} of {len(keys)}, each with exactly one result")
    say(
        f"  {_mark(kept[1])} requests  {books.requests}: one for each item, and "
        f"{counted(books.repeats, 'repeat')} of the {killed.in_flight} in flight at the kill"
    )
    say(
        f"  {_mark(kept[2])} money     {usd(end.cost)} in the ledger, and the provider billed just "
        f"that for those answers;\n              {usd(books.lost)} for answers that the kill cut "
        f"off, and the ledger had reserved {usd(end.unconfirmed)}"
    )
    if not all(kept):
        say("That should not be: please report it.")
        return False
    say("\nThe folder is gone again. A job of your own: batchai init feedback DATA.csv")
    return True


@contextmanager
def _launch(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs the job, its bar where ours would be; killed at the end."""
    package = str(Path(batchai.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "batchai", "run", "feedback.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(answers: int, simulator: Simulator, process: subprocess.Popen[str]) -> None:
    """Until the provider has answered so often. BatchaiError where the job ends before."""
    for _ in range(int(_PATIENCE_SECONDS)):
        with suppress(TimeoutError):
            simulator.wait_for_served(answers, timeout_seconds=1)
            return
        if process.poll() is not None:
            break
    process.kill()
    printed = process.stdout.read() if process.stdout else ""
    raise BatchaiError(f"demo: the job did not get as far as it should:\n{printed}")


def _standing(folder: Path) -> _Standing:
    reader = Reader(folder / ".batchai" / "feedback.db")
    try:
        run = reader.last_run()
        assert run is not None
        return _Standing(
            succeeded=reader.state_counts(MAIN_STEP).get(State.SUCCEEDED, 0),
            in_flight=reader.open_attempts()[0],
            cost=run.cost,
            unconfirmed=run.unconfirmed,
        )
    finally:
        reader.close()


def _books(received: list[Received]) -> _Books:
    """Of several requests for one item, the last one's answer arrived; the others' were cut off."""
    last = {request.prompt: request.sequence for request in received}
    lost = [request for request in received if last[request.prompt] != request.sequence]
    return _Books(
        requests=len(received),
        repeats=len(lost),
        bill=_cost(request.usage for request in received),
        lost=_cost(request.usage for request in lost),
    )


def _cost(usages: Iterator[Usage | None]) -> Decimal:
    dear = (
        _RATES.input_mtok * usage.input + _RATES.output_mtok * usage.output
        for usage in usages
        if usage is not None
    )
    return sum(dear, NO_COST) / _MTOK


def _result_keys(path: Path) -> list[str]:
    """The items of the result file that have a result."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row["feedback_id"] for row in csv.DictReader(file) if row["_status"] == "succeeded"]


def _mark(is_kept: bool) -> str:
    return "✓" if is_kept else "✗"
