"""What is saved of a store of which pages are damaged: paid results on sound pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.simulator import Simulator
from tests.kit import Steps, Workspace

ITEMS = 400
PAGE = 4096
TABLE_LEAF = 0x0D  # https://www.sqlite.org/fileformat2.html#b_tree_pages
HOLDS = {"items": b"text number", "item_steps": b'{"mood":"'}


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Steps]:
    """A job that is done, and its result file gone."""
    with Simulator() as sim:
        space = Steps(tmp_path, sim.openai_url)
        space.write(ITEMS)
        assert space.run().exit_code == 0
        (tmp_path / "out.csv").unlink()
        yield space


def leaves(space: Workspace, table: str) -> list[int]:
    """Numbers of the pages that hold a table's rows, known by their type and by what they hold."""
    content = space.job().store_path.read_bytes()
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    return [
        number
        for number, page in enumerate(pages, 1)
        if page[0] == TABLE_LEAF and HOLDS[table] in page
    ]


def damage(space: Workspace, *pages: int) -> None:
    with space.job().store_path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(b"\xaa" * PAGE)


@pytest.mark.parametrize("table", ["items", "item_steps"])
@pytest.mark.parametrize("which", [0, -1], ids=["first page", "last page"])
def test_results_on_sound_pages_are_saved_and_the_others_counted(
    space: Workspace, capsys: pytest.CaptureFixture[str], table: str, which: int
) -> None:
    pages = leaves(space, table)
    assert len(pages) > 4
    damage(space, pages[which])

    assert main(["export", str(space.job_path)]) == 4
    assert "batchai export --salvage" in capsys.readouterr().err
    assert not (space.folder / "out.csv").exists()

    assert main(["export", str(space.job_path), "--salvage"]) == 1
    saved = space.exported()
    lost = ITEMS - len(saved)
    assert 0 < lost <= 2 * ITEMS / len(pages)
    assert f"{lost} items could not be read" in capsys.readouterr().out
    assert {row["_status"] for row in saved} == {"succeeded"}
    assert all(row["text"] == space.texts[row["id"]] for row in saved)


def test_of_a_sound_store_everything_is_saved(space: Workspace) -> None:
    assert main(["export", str(space.job_path)]) == 0
    whole = space.exported()
    assert main(["export", str(space.job_path), "--salvage"]) == 0
    assert space.exported() == whole


def test_nothing_is_written_where_nothing_can_be_read(space: Workspace) -> None:
    damage(space, *leaves(space, "items"), *leaves(space, "item_steps"))
    assert main(["export", str(space.job_path), "--salvage"]) == 1
    assert space.exported() == []
