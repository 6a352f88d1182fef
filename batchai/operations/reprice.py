"""`batchai report --reprice`: what the same requests cost at other prices; the ledger stays."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from batchai.domain import NO_COST
from batchai.pricing import Rates, from_pico, price_for
from batchai.reports.tables import table
from batchai.reports.words import printable, usd
from batchai.spec.models import Job, Model
from batchai.spec.prices import read_prices
from batchai.store import open_reader
from batchai.store.spending import billed


@dataclass(frozen=True, slots=True)
class RepricedModel:
    """Requests that were billed. paid_usd: as the ledger has it; cost_usd: at the other prices."""

    model: str
    attempts: int
    paid_usd: Decimal
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Repricing:
    """Every request of a job, priced anew at its own time and size."""

    job: str
    models: tuple[RepricedModel, ...]

    @property
    def paid_usd(self) -> Decimal:
        """What was paid."""
        return sum((line.paid_usd for line in self.models), NO_COST)

    @property
    def cost_usd(self) -> Decimal:
        """What it had cost."""
        return sum((line.cost_usd for line in self.models), NO_COST)


def reprice(job: Job, prices: Path | None = None) -> Repricing:
    """At the prices of a file; without one, or for models that it lacks, at those of today's job.

    Raises PricingError for a model without any, SpecError, StoreError without a store.
    """
    given = {} if prices is None else read_prices(prices)
    own = {step.model.name: step.model for step in job.steps}
    rates: dict[str, Rates] = {}
    number: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    cost: dict[str, Decimal] = {}
    reader = open_reader(job.store_path)
    try:
        with reader.snapshot():
            for one in billed(reader):
                if (name := one.model) not in rates:
                    model = own.get(name, Model(name=name))
                    price = given.get(name, model.price)
                    rates[name] = price_for(model.model_copy(update={"price": price}))
                number[name] += 1
                paid[name] += one.cost_pico
                cost[name] = cost.get(name, NO_COST) + rates[name].cost(
                    one.usage, at=one.sent_at, delivery=one.delivery
                )
    finally:
        reader.close()
    return Repricing(
        job.name,
        tuple(
            RepricedModel(name, number[name], from_pico(paid[name]), cost[name]) for name in cost
        ),
    )


def repricing_text(made: Repricing) -> str:
    """A line a model, and the total."""
    rows = [["model", "requests", "paid", "at these prices"]]
    rows += [
        [printable(line.model), f"{line.attempts:,}", usd(line.paid_usd), usd(line.cost_usd)]
        for line in made.models
    ]
    attempts = sum(line.attempts for line in made.models)
    rows.append(["total", f"{attempts:,}", usd(made.paid_usd), usd(made.cost_usd)])
    return "\n".join(table(rows, left=(0,)))
