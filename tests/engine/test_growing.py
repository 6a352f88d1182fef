"""An input that another program appends to while a run works on it."""

from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.simulator import Simulator
from tests.kit import Workspace, prompts_of


def append(space: Workspace, text: str) -> None:
    with (space.folder / "data.csv").open("a", newline="") as file:
        file.write(text)


def test_rows_appended_during_a_run_are_sent_by_the_next_and_no_other(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(6)
        sim.hold()
        with space.start("run", "--yes") as process:
            sim.wait_for(1, timeout_seconds=60)  # the whole of so small an input has been read
            append(space, "late,a late one\n")
            sim.release()
            assert process.wait(60) == 0
        assert sim.arrived_count == 6
        summary = space.run()
        assert prompts_of(sim.received)[6:] == ["Classify: a late one"]
    assert summary.counts == {"succeeded": 7}


def test_a_row_that_is_half_written_is_named_by_its_line_and_sent_when_it_is_whole(
    tmp_path: Path,
) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(3)
        append(space, "half")
        with pytest.raises(SpecError, match=r"data\.csv:5: has 1 fields, the header has 2"):
            space.run()
        assert sim.arrived_count == 0
        append(space, ",now it is whole\n")
        assert space.run().counts == {"succeeded": 4}
        assert sim.arrived_count == 4
