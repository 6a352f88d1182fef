"""What a changed input or a changed job costs: exactly what changed."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.domain import State
from batchai.errors import ProviderError, RefusedError
from batchai.operations.run import RunOptions
from batchai.simulator import Settings, Simulator
from tests.kit import Workspace, prompts_of

ROWS = 20_000


def test_a_refresh_sends_exactly_what_an_oracle_says(tmp_path: Path) -> None:
    """20,000 rows shuffled, 1 % edited, 0.5 % new, some removed, two irrelevant columns added."""
    rng = random.Random(7)
    rows = [{"id": f"k{n}", "text": f"text {n} {rng.random()}"} for n in range(ROWS)]
    with Simulator(Settings(fixed_answer='{"mood": "good"}')) as fast:
        space = Workspace(tmp_path, fast.openai_url, top="limits: {concurrency: 64}")
        space.write_rows(rows)
        assert space.write_job().run().exit_code == 0

    kept = rng.sample(rows, ROWS - 150)
    edited = {row["id"] for row in kept[: ROWS // 100]}
    changed = [
        {"id": row["id"], "text": row["text"] + " edited" * (row["id"] in edited)} for row in kept
    ]
    new = [{"id": f"n{n}", "text": f"new {n}"} for n in range(ROWS // 200)]
    after = changed + new
    rng.shuffle(after)
    oracle = {f"Classify: {row['text']}" for row in after if row["id"] in edited or row in new}
    space.write_rows([{"note": f"n{n}", **row, "more": "x"} for n, row in enumerate(after)])
    with Simulator() as judge:
        space.url = judge.openai_url
        summary = space.write_job().run()
        sent = prompts_of(judge.received)

    assert sorted(sent) == sorted(oracle)
    assert summary.progress.changes["removed"] == 150
    exported = space.exported()
    assert [row["id"] for row in exported] == [row["id"] for row in after]
    assert {row["_status"] for row in exported} == {"succeeded"}
    assert exported[5]["note"] == "n5"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def done(tmp_path: Path, sim: Simulator) -> Workspace:
    """A job of ten items that has been run."""
    space = Workspace(tmp_path, sim.openai_url).write(10)
    assert space.run().exit_code == 0
    return space


def test_running_again_sends_nothing(done: Workspace, sim: Simulator) -> None:
    assert done.run().exit_code == 0
    assert len(sim.received) == 10


def test_a_changed_prompt_is_refused_with_its_price_and_spends_nothing(
    done: Workspace, sim: Simulator
) -> None:
    done.write_job(prompt="Sort: {{ item.text }}")

    with pytest.raises(
        RefusedError, match=r"(?s)changed\s+10\s+\$.*--changed rerun.*--changed keep"
    ):
        done.run()

    assert len(sim.received) == 10


def test_changed_rerun_pays_for_all_that_the_change_touches(
    done: Workspace, sim: Simulator
) -> None:
    done.write_job(prompt="Sort: {{ item.text }}")

    done.run(options=RunOptions(yes=True, changed="rerun"))

    assert len(sim.received) == 20
    assert done.run().exit_code == 0
    assert len(sim.received) == 20


def test_changed_keep_pays_only_for_edited_and_new_rows(done: Workspace, sim: Simulator) -> None:
    rows = {**done.texts, "k3": "another text", "new": "a new text"}
    done.write(rows).write_job(prompt="Sort: {{ item.text }}")

    done.run(options=RunOptions(yes=True, changed="keep"))

    assert sorted(prompts_of(sim.received)[10:]) == ["Sort: a new text", "Sort: another text"]
    assert done.run().exit_code == 0
    assert len(sim.received) == 12


def test_what_was_kept_is_rerun_when_the_user_says_so_later(
    done: Workspace, sim: Simulator
) -> None:
    done.write({**done.texts, "new": "a new text"}).write_job(prompt="Sort: {{ item.text }}")
    done.run(options=RunOptions(yes=True, changed="keep"))
    assert len(sim.received) == 11

    done.run(options=RunOptions(yes=True, changed="rerun"))
    assert sorted(prompts_of(sim.received)[11:]) == sorted(
        f"Sort: {text}" for key, text in done.texts.items() if key != "new"
    )

    done.run(options=RunOptions(yes=True, changed="rerun"))
    assert len(sim.received) == 21


def test_a_changed_schema_keeps_the_answers_that_fit_it(done: Workspace, sim: Simulator) -> None:
    done.write_job(schema="{mood: [good, awful]}")
    bad = sum(row.result["mood"] == "bad" for row in done.results())
    assert 0 < bad < 10

    done.run(options=RunOptions(yes=True, changed="rerun"))

    assert len(sim.received) == 10 + bad
    assert {row.result["mood"] for row in done.results()} <= {"good", "awful"}


def test_limits_and_paths_are_no_change(done: Workspace, sim: Simulator) -> None:
    done.top = "limits: {concurrency: 2}\nbudget_usd: 3"

    assert done.write_job().run().exit_code == 0
    assert len(sim.received) == 10


def test_a_smaller_selection_leaves_the_export_and_comes_back_free(
    done: Workspace, sim: Simulator
) -> None:
    done.run("input.limit=4")
    assert len(done.exported()) == 4

    done.run()

    assert len(done.exported()) == 10
    assert len(sim.received) == 10


def test_a_template_that_renders_to_the_same_text_costs_nothing(
    done: Workspace, sim: Simulator
) -> None:
    done.write_job(prompt='Classify: {# reworded #}{{ item["text"] }}')

    assert done.run().exit_code == 0
    done.write_rows([{"id": key, "text": text, "x": "1"} for key, text in done.texts.items()])
    assert done.run().exit_code == 0

    assert len(sim.received) == 10


def test_a_row_that_was_away_while_the_prompt_changed_is_sent_when_it_comes_back(
    done: Workspace, sim: Simulator
) -> None:
    rows = done.texts
    done.write({key: text for key, text in rows.items() if key != "k3"})
    done.write_job(prompt="Sort: {{ item.text }}").run(
        options=RunOptions(yes=True, changed="rerun")
    )
    assert len(sim.received) == 19

    done.write(rows).write_job(prompt="Sort: {{ item.text }}").run()

    assert prompts_of(sim.received)[19:] == [f"Sort: {rows['k3']}"]


def test_fresh_starts_from_nothing_and_keeps_the_old_store(done: Workspace, sim: Simulator) -> None:
    done.run(options=RunOptions(yes=True, fresh=True))

    assert len(sim.received) == 20
    assert (done.folder / ".batchai" / "job.old1.db").exists()


@pytest.mark.parametrize("refused", ["price", "key"])
def test_a_fresh_start_that_is_refused_costs_no_result(
    done: Workspace, sim: Simulator, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    with monkeypatch.context() as without:
        if refused == "key":
            without.delenv("SIM_KEY")
        with pytest.raises((RefusedError, ProviderError)):
            done.run(options=RunOptions(fresh=True))

    assert done.run().counts == {State.SUCCEEDED: 10}
    assert len(sim.received) == 10
    assert sorted(path.name for path in (done.folder / ".batchai").glob("*.db")) == ["job.db"]
