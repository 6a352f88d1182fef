"""What is saved of a store of which pages are damaged: paid results on sound pages."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.simulator import Simulator
from tests.kit import KEY, Steps

ITEMS = 400
PAGE = 4096
TABLE_LEAF = 0x0D  # https://www.sqlite.org/fileformat2.html#b_tree_pages
SALVAGED = "out.salvaged.csv"
HOLDS = {"items": b"text number", "item_steps": b'{"mood":"'}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """A job that is done."""
    with Simulator() as sim, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIM_KEY", KEY)
        space = Steps(tmp_path_factory.mktemp("done"), sim.openai_url)
        space.write(ITEMS)
        assert space.run().exit_code == 0
    return space


@pytest.fixture
def space(done: Steps, tmp_path: Path) -> Steps:
    """A copy of it that may be damaged."""
    folder = shutil.copytree(done.folder, tmp_path / "copy")
    return replace(done, folder=folder)


def leaves(space: Steps, table: str) -> list[int]:
    """Numbers of the pages that hold a table's rows, known by their type and by what they hold."""
    content = space.job().store_path.read_bytes()
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    return [
        number
        for number, page in enumerate(pages, 1)
        if page[0] == TABLE_LEAF and HOLDS[table] in page
    ]


def damage(space: Steps, *pages: int) -> None:
    with space.job().store_path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * PAGE)
            file.write(b"\xaa" * PAGE)


def root_page(space: Steps, name: str) -> int:
    """That of a table or index."""
    with closing(sqlite3.connect(space.job().store_path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return int(connection.execute(query, (name,)).fetchone()[0])


def change(space: Steps, statement: str, *values: object) -> None:
    """What a flipped bit may do to a row."""
    with closing(sqlite3.connect(space.job().store_path)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1


def salvage(space: Steps, *arguments: str) -> int:
    return main(["export", str(space.job_path), "--salvage", *arguments])


@pytest.mark.parametrize("table", ["items", "item_steps"])
@pytest.mark.parametrize("which", [0, -1], ids=["first page", "last page"])
def test_results_on_sound_pages_are_saved_and_the_others_counted(
    space: Steps, capsys: pytest.CaptureFixture[str], table: str, which: int
) -> None:
    pages = leaves(space, table)
    assert len(pages) > 4
    damage(space, pages[which])

    assert main(["export", str(space.job_path), "--overwrite"]) == 4
    assert "batchai export --salvage" in capsys.readouterr().err

    assert salvage(space) == 1
    saved = space.exported_from(SALVAGED)
    whole = [row for row in saved if row["id"]]
    lost = ITEMS - len(whole)
    assert 0 < lost <= 2 * ITEMS / len(pages)
    assert f"{lost} items could not be read" in capsys.readouterr().out
    assert all(row["text"] == space.texts[row["id"]] for row in whole)
    assert {row["_status"] for row in saved} == {"succeeded"}
    assert len(saved) == (ITEMS if table == "items" else len(whole))


def test_results_are_saved_without_the_items_that_they_belong_to(space: Steps) -> None:
    damage(space, *leaves(space, "items"))
    assert salvage(space) == 1
    saved = space.exported_from(SALVAGED)
    assert [row["mood"] for row in saved] == [row["mood"] for row in space.exported()]
    assert [row["_key"] for row in saved] == [""] * ITEMS
    assert [row["_error"] for row in saved] == [
        f"item {number}: its row cannot be read" for number in range(1, ITEMS + 1)
    ]


@pytest.mark.parametrize(
    "index", ["sqlite_autoindex_item_steps_1", "ix_item_steps_state", "sqlite_autoindex_items_1"]
)
def test_everything_is_saved_where_only_an_index_is_damaged(space: Steps, index: str) -> None:
    damage(space, root_page(space, index))
    assert salvage(space) == 0
    assert space.exported_from(SALVAGED) == space.exported()


def test_a_damaged_row_id_costs_its_own_row(space: Steps) -> None:
    change(space, "UPDATE items SET id = ? WHERE id = ?", 2**61, ITEMS)
    assert salvage(space) == 1
    *saved, last = space.exported_from(SALVAGED)
    assert saved == space.exported()[:-1]
    assert (last["id"], last["_status"]) == ("", "succeeded")


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE item_steps SET settled_at = ? WHERE item_id = 7", 2**62),
        ("UPDATE item_steps SET cost_pico = ? WHERE item_id = 7", "garbage"),
        ("UPDATE item_steps SET state = ? WHERE item_id = 7", "sUcceeded"),
        ("UPDATE item_steps SET result = ? WHERE item_id = 7", '{"mood":'),
        ("UPDATE items SET row = ? WHERE id = 7", "[1]"),
        ("UPDATE items SET row = ? WHERE id = 7", 5),
        ("UPDATE items SET row = CAST(? AS TEXT) WHERE id = 7", b"\xff"),
    ],
    ids=["time", "cost", "state", "result", "no map", "no text", "no UTF-8"],
)
def test_a_damaged_value_costs_its_own_item(
    space: Steps, capsys: pytest.CaptureFixture[str], statement: str, value: object
) -> None:
    change(space, statement, value)
    assert salvage(space) == 1
    assert "1 item could not be read" in capsys.readouterr().out
    whole = [row for row in space.exported_from(SALVAGED) if row["id"]]
    assert whole == [row for row in space.exported() if row["id"] != "k6"]


def test_of_a_sound_store_everything_is_saved(space: Steps) -> None:
    assert salvage(space) == 0
    assert space.exported_from(SALVAGED) == space.exported()


def test_nothing_is_written_where_nothing_can_be_read(space: Steps) -> None:
    damage(space, *leaves(space, "items"), *leaves(space, "item_steps"))
    assert salvage(space) == 1
    assert space.exported_from(SALVAGED) == []


def test_what_is_salvaged_takes_the_place_of_no_fuller_file(
    space: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = space.exported()
    named = ["--to", str(space.folder / "named.csv")]
    assert main(["export", str(space.job_path), *named]) == 0
    assert salvage(space) == 0
    damage(space, leaves(space, "item_steps")[0])

    for place in ([], named):
        assert salvage(space, *place) == 2
        assert "say --overwrite" in capsys.readouterr().err
    for name in (SALVAGED, "named.csv"):
        assert space.exported_from(name) == complete

    assert salvage(space, "--overwrite") == 1
    assert len(space.exported_from(SALVAGED)) < ITEMS
    assert space.exported() == complete


@pytest.mark.parametrize("first", [1, 2], ids=["the header", "all but the header"])
def test_one_who_salvages_in_vain_is_not_told_to_salvage(
    space: Steps, capsys: pytest.CaptureFixture[str], first: int
) -> None:
    damage(space, *range(first, space.job().store_path.stat().st_size // PAGE + 1))
    assert salvage(space) == 4
    message = capsys.readouterr().err
    assert "backup" in message
    assert "--salvage" not in message
