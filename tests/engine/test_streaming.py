"""Which requests the engine streams, and what it keeps of one that was cut."""

from pathlib import Path

import pytest

from batchai.domain import Outcome
from batchai.simulator import Fault, Settings, Simulator
from batchai.simulator.faults import scripted
from batchai.store import Reader
from tests.kit import Workspace

TEXT = "word " * 400


def run(folder: Path, settings: Settings, *overrides: str) -> tuple[Workspace, Simulator]:
    with Simulator(settings) as sim:
        space = Workspace(folder, sim.openai_url).write(2)
        space.run(*overrides)
    return space, sim


@pytest.mark.parametrize(("max_tokens", "is_streamed"), [(8_000, False), (9_000, True)])
def test_only_answers_that_may_take_too_long_are_streamed(
    tmp_path: Path, max_tokens: int, is_streamed: bool
) -> None:
    space, sim = run(tmp_path, Settings(), f"model.max_tokens={max_tokens}")

    assert [bool(got.body.get("stream")) for got in sim.received] == [is_streamed] * 2
    assert [row.error for row in space.results()] == ["", ""]


def test_how_an_answer_travels_does_not_make_it_another_request(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(2)
        space.run("model.max_tokens=9000")
        space.run("model.max_tokens=9000")

    assert len(sim.received) == 2


def test_the_text_of_a_cut_answer_is_kept_and_its_worst_cost_is_unconfirmed(
    tmp_path: Path,
) -> None:
    faults = scripted([Fault.RESET_MID_BODY])
    with Simulator(Settings(answer=lambda _request: TEXT, faults=faults)) as sim:
        space = Workspace(tmp_path, sim.openai_url).write(1)
        text = space.job_path.read_text().replace("schema: {mood: [good, bad]}\n", "")
        space.job_path.write_text(text)
        space.run("model.max_tokens=9000")

    reader = Reader(space.job().store_path)
    cut, whole = reader.attempts_of(1, "main")
    reader.close()
    assert cut.outcome is Outcome.CONNECTION_LOST
    assert TEXT.startswith(cut.answer or "nothing")
    assert cut.unconfirmed > 0
    assert whole.outcome is Outcome.SUCCEEDED
    assert whole.unconfirmed == 0
