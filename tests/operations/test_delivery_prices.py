"""What a request costs is what the provider says it was served as, not what was asked for."""

from decimal import Decimal
from pathlib import Path

import pytest

from batchai.operations import report as operation
from batchai.operations.reprice import reprice
from batchai.providers.openai_chat import read_completion
from batchai.simulator import Rates, Settings, SimRequest, Simulator
from batchai.store import Reader
from tests.kit import KEY, Workspace

RATES = Rates(
    Decimal(1),
    Decimal(2),
    cache_write_1h_mtok=Decimal(3),
    reasoning_mtok=Decimal(4),
    tiers={"flex": Decimal("0.5"), "priority": Decimal("1.75")},
)
PRICES = """\
openai/gpt-5.4-mini:
  input_mtok: 1
  output_mtok: 2
  cache_write_1h_mtok: 3
  reasoning_mtok: 4
  delivery: {flex: 0.5, batch: 0.5, priority: 1.75}
"""
JOB = """\
input: {path: data.csv, key: id}
model: {name: openai/gpt-5.4-mini, base_url: 'URL', api_key_env: SIM_KEY, max_tokens: 64,
  extra_body: {service_tier: flex}}
prices: prices.yaml
prompt: {user: '{{ item.text }}'}
schema: {mood: [good, bad]}
output: out.csv
budget_usd: 1
"""


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_each_request_is_billed_at_the_tier_that_its_answer_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)
    plan = Settings(service_tier=_served, reasoning_tokens=5)
    with Simulator(plan) as sim:
        url = sim.openai_url if protocol == "openai" else sim.anthropic_url
        model = "openai/gpt-5.4-mini" if protocol == "openai" else "anthropic/claude-haiku-4-5"
        space = Workspace(tmp_path, url)
        space.write({f"k{n}": f"text {n}" for n in range(9)})
        (tmp_path / "prices.yaml").write_text(PRICES.replace("openai/gpt-5.4-mini", model))
        space.job_path.write_text(JOB.replace("URL", url).replace("openai/gpt-5.4-mini", model))
        space.run()
        bill = sim.bill(RATES)

    job = space.job()
    assert operation.report(job).total.cost_usd == bill
    assert reprice(job).cost_usd == bill
    reader = Reader(job.store_path)
    served = reader.query(
        "SELECT coalesce(delivery, 'standard'), count(*) FROM attempts GROUP BY 1"
    )
    reader.close()
    assert dict(tuple(row) for row in served) == {"flex": 3, "priority": 3, "standard": 3}


def test_a_server_that_says_nothing_of_tiers_is_taken_to_have_served_what_was_asked_for() -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    answer = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    for told, delivery in [({}, "flex"), ({"service_tier": "default"}, None)]:
        reply = read_completion({**answer, **told}, asked="flex")
        assert reply.delivery == delivery


def _served(request: SimRequest) -> str | None:
    """Asked for flex, a third of the requests gets it."""
    return ("flex", "priority", None)[int(request.prompt.split()[1]) % 3]
