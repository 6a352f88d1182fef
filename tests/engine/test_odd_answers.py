"""Answers that no schema foresees: paid for, hence kept or accounted for, and exported whole."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchai.domain import State
from batchai.operations.verify import verify
from batchai.simulator import Fault, Settings, Simulator, first_attempts
from batchai.store import open_reader
from tests.kit import Workspace


def work(folder: Path, settings: Settings, *, schema: str, top: str = "") -> Workspace:
    """A job of three items under these settings, run to its end; store and export agree."""
    with Simulator(settings) as sim:
        space = Workspace(folder, sim.openai_url, top=top)
        space.write({"a": "first", "b": "second", "c": "third"}).write_job(schema=schema).run()
        assert verify(space.job()).different == 0
        return space


def answering(value: Any) -> Settings:
    """Every item gets the value."""
    text = value if isinstance(value, str) else json.dumps(value)
    return Settings(answer=lambda _request: text, check_schemas=False)


def test_integers_beyond_64_bits_and_nul_come_through_to_the_digit(tmp_path: Path) -> None:
    value = {"n": 2**70 + 1, "deep": {"n": [-(2**63) - 1]}, "said": "a\x00b"}
    space = work(
        tmp_path,
        answering(value),
        schema="{n: integer, deep: {n: list of integer}, said: string}",
    )
    assert [row.result for row in space.results()] == [value] * 3
    exported = space.exported()[0]
    assert exported["n"] == str(2**70 + 1)
    assert json.loads(exported["deep"]) == value["deep"]
    assert exported["said"] == "a\x00b"


def test_nan_is_no_json_and_its_text_is_kept(tmp_path: Path) -> None:
    settings = Settings(faults=lambda _request, _index: Fault.NAN)
    space = work(tmp_path, settings, schema="{score: number}", top="on_invalid: fail")
    assert {row.state for row in space.results()} == {State.FAILED}
    reader = open_reader(space.job().store_path)
    answers = [attempt.answer for n in (1, 2, 3) for attempt in reader.attempts_of(n, "main")]
    reader.close()
    assert all("NaN" in (answer or "") for answer in answers)


def test_halves_of_surrogate_pairs_are_replaced(tmp_path: Path) -> None:
    space = work(tmp_path, answering('{"a": "half \\ud800 of one"}'), schema="{a: string}")
    assert [row.result for row in space.results()] == [{"a": "half \ufffd of one"}] * 3
    assert space.exported()[0]["a"] == "half \ufffd of one"


def test_ten_megabytes_are_an_answer_too(tmp_path: Path) -> None:
    settings = Settings(faults=lambda _request, _index: Fault.HUGE, huge_bytes=10 * 2**20)
    space = work(tmp_path, settings, schema="{a: string}")
    assert {row.state for row in space.results()} == {State.SUCCEEDED}


def test_an_answer_without_usage_is_charged_at_its_worst_case(tmp_path: Path) -> None:
    settings = Settings(faults=first_attempts(1, Fault.MISSING_USAGE, containing="second"))
    space = work(tmp_path, settings, schema="{mood: [good, bad]}")
    reader = open_reader(space.job().store_path)
    (run,) = reader.runs()
    (attempt,) = reader.attempts_of(2, "main")
    reader.close()
    assert {row.state for row in space.results()} == {State.SUCCEEDED}
    assert attempt.cost == 0
    assert run.unconfirmed == attempt.unconfirmed > Decimal("0.000128")  # 64 tokens out, at least
