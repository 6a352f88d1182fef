"""The same requests at other prices."""

from decimal import Decimal
from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.operations import report as operation
from batchai.operations.reprice import reprice, repricing_text
from batchai.spec import load_job
from batchai.spec.models import Price
from tests.kit import KEY
from tests.operations.reported import make


def test_other_prices_are_taken_request_by_request_and_the_ledger_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)
    made = make(tmp_path)
    job = made.space.job()
    before = operation.report(job).total.cost_usd
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "openai/gpt-5.4-mini: {input_mtok: 2, output_mtok: 4}\n"
        "openai/gpt-5.5: {input_mtok: 2, output_mtok: 4}\n"
    )
    found = reprice(job, prices)
    assert found.paid_usd == made.bill == before
    assert found.cost_usd == 2 * made.bill
    assert repricing_text(found).splitlines()[-1].startswith("total ")
    prices.write_text(prices.read_text().replace("2,", "1,").replace("4}", "2}"))
    assert reprice(job, prices).cost_usd == made.bill
    assert operation.report(job).total.cost_usd == before
    prices.write_text("openai/gpt-5.5: {input: 2}\n")
    with pytest.raises(SpecError, match=r"prices\.yaml:1: .*input: unknown field"):
        reprice(job, prices)


def test_the_project_file_gives_prices_to_jobs_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batchai.yaml").write_text(
        "prices:\n  openai/mine: {input_mtok: 3, output_mtok: 7}\n"
    )
    (tmp_path / "data.csv").write_text("a\n1\n")
    text = "input: data.csv\nmodel: openai/mine\nprompt: {user: '{{ item.a }}'}\n"
    path = tmp_path / "job.yaml"
    path.write_text(text)
    price = Price(input_mtok=Decimal(3), output_mtok=Decimal(7))
    assert load_job(path).steps[0].model.price == price
    path.write_text(text.replace("openai/mine", "{name: openai/mine, price: none}"))
    assert load_job(path).steps[0].model.price == "none"
