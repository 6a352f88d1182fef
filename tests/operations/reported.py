"""A store with everything in it: two models, retries, failures of each sort, gold labels."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from batchai.operations.run import RunOptions
from batchai.simulator import Fault, Rates, Received, Settings, SimRequest, Simulator
from tests.kit import Workspace

RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(2))  # as tests.kit.PRICE
ITEMS = 40


@dataclass(frozen=True)
class Made:
    """The job, and what the provider's side says of it."""

    space: Workspace
    bill: Decimal
    received: list[Received]


def make(folder: Path) -> Made:
    """Forty items run with one model, then run again with another."""
    plan = Settings(
        faults=_fault,
        answer=_answer,
        resolve_model=_resolved,
        cache_read_share=0.25,
        reasoning_tokens=3,
    )
    with Simulator(plan) as sim:
        space = Workspace(folder, sim.openai_url, top="expect: {mood: gold}\nbudget_usd: 1")
        space.write_rows(
            {"id": f"k{n}", "text": f"text {n} end", "gold": "GOOD" if n % 4 else ""}
            for n in range(ITEMS)
        )
        space.write_job().run()
        space.model = "openai/gpt-5.5"
        space.write_job().run(options=RunOptions(changed="rerun"))
        return Made(space, sim.bill(RATES), sim.received)


def _fault(request: SimRequest, _index: int) -> Fault | None:
    """Items by number: 3 is always refused, 5 always invalid, 7 and 8 at first only."""
    number = int(request.prompt.split()[2]) if request.prompt.startswith("Classify") else 5
    first = request.attempt == 1
    match number:
        case 3:
            return Fault.REFUSED
        case 5:
            return Fault.SCHEMA_VIOLATION
        case 7 if first:
            return Fault.TRUNCATED
        case 8 if first:
            return Fault.SERVER_ERROR
    return None


def _answer(request: SimRequest) -> str:
    digest = hashlib.sha256(request.prompt.encode()).digest()
    return '{"mood": "good"}' if digest[0] % 3 else '{"mood": "bad"}'


def _resolved(request: SimRequest) -> str:
    """The first model answers under two names."""
    if request.model == "gpt-5.5":
        return "gpt-5.5-2026-10-01"
    return "gpt-5.4-mini-b" if "1" in request.prompt else "gpt-5.4-mini-a"
