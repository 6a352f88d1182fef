"""Jobs whose prompts attach files: what is sent, what changes, what fails before it costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchai.domain import State
from batchai.limits import MOST_BYTES_IN_FLIGHT
from batchai.simulator import Simulator
from tests.documents.making import pdf, png, word
from tests.engine.rig import rig, texts
from tests.kit import Workspace


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def workspace(folder: Path, sim: Simulator, files: dict[str, bytes]) -> Workspace:
    """A job with an item a file."""
    space = Workspace(folder, sim.anthropic_url, model="anthropic/claude-haiku-4-5")
    space.write({name: name for name in files})
    for name, data in files.items():
        (folder / name).write_bytes(data)
    job = space.job_path.read_text()
    prompt = 'prompt: {user: "What is it?", attachments: "{{ item.text }}"}'
    space.job_path.write_text(job.replace("prompt: {user: 'Classify: {{ item.text }}'}", prompt))
    return space


@pytest.mark.parametrize(("megabytes", "at_once"), [(20, 3), (65, 1)], ids=["three", "alone"])
async def test_the_bytes_in_flight_are_bounded_over_all_slots(
    tmp_path: Path, megabytes: int, at_once: int
) -> None:
    """The bound is 64 MiB; a request beyond it goes alone."""
    async with rig(tmp_path, texts(5), top="limits: {concurrency: 16}") as made:
        made.script.padding = megabytes << 20
        await made.work()
        assert {row.state for row in made.rows()} == {State.SUCCEEDED}
        assert made.script.most_open == at_once
        largest = max(MOST_BYTES_IN_FLIGHT, (megabytes + 1) << 20)
        assert at_once * megabytes << 20 <= made.script.most_open_bytes <= largest


def kinds_sent(sim: Simulator) -> list[list[str]]:
    contents: list[Any] = [got.body["messages"][0]["content"] for got in sim.received]
    return sorted(
        ["text"] if isinstance(content, str) else [part["type"] for part in content]
        for content in contents
    )


def test_each_file_goes_in_its_own_form(tmp_path: Path, sim: Simulator) -> None:
    space = workspace(
        tmp_path, sim, {"a.png": png(), "b.pdf": pdf("Total 12"), "c.docx": word("Hello")}
    )

    assert space.run().exit_code == 0

    assert kinds_sent(sim) == [["document", "text"], ["image", "text"], ["text"]]
    (plain,) = [
        got.prompt for got in sim.received if isinstance(got.body["messages"][0]["content"], str)
    ]
    assert plain == '<document name="c.docx">\nHello\n</document>\n\nWhat is it?'


def test_only_an_item_whose_file_changed_is_sent_again(tmp_path: Path, sim: Simulator) -> None:
    space = workspace(tmp_path, sim, {"a.png": png(), "b.png": png(31)})
    space.run()

    (tmp_path / "b.png").write_bytes(png(32))
    space.run()
    space.run()

    assert len(sim.received) == 3


def test_a_file_that_cannot_be_sent_fails_its_item_and_costs_nothing(
    tmp_path: Path, sim: Simulator
) -> None:
    space = workspace(tmp_path, sim, {"a.png": png(), "b.png": b"no picture", "c.png": png(31)})

    assert space.run().exit_code == 1

    assert len(sim.received) == 2
    (failed,) = [row for row in space.results() if row.error]
    assert failed.key == "b.png"
    assert "b.png: is neither an image" in failed.error
