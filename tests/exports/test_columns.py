import json
from pathlib import Path

import pytest

from batchai.exports import ExportSummary
from batchai.spec.models import Output
from tests.exports.rows import export, failed, pending, row

ITEMS = (
    row("1", {"id": "1", "text": "good"}, {"mood": "positive", "tags": ["a", "b"], "n": 1}),
    failed("2", {"id": "2", "text": "bad"}),
    pending("3", {"id": "3", "text": "later"}),
)
FIELDS = ("mood", "tags", "n")


def test_every_item_is_there_with_its_columns_then_results_then_status(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    summary = export(path, *ITEMS, result_fields=FIELDS)

    assert path.read_bytes().decode() == (
        "id,text,mood,tags,n,_status,_error\n"
        '1,good,positive,"[""a"",""b""]",1,succeeded,\n'
        "2,bad,,,,failed,refused: no\n"
        "3,later,,,,pending,\n"
    )
    assert summary == ExportSummary(path, 3, 1, 1, 0)


def test_failed_items_are_left_out_where_the_job_says_so(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    summary = export(path, *ITEMS, result_fields=FIELDS, output=Output(failed="drop"))

    assert [line[0] for line in path.read_text().splitlines()[1:]] == ["1", "3"]
    assert (summary.rows, summary.succeeded, summary.failed) == (2, 1, 0)


def test_lineage_adds_model_cost_attempts_run_and_time(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    export(path, ITEMS[0], result_fields=FIELDS, output=Output(lineage=True))

    record = json.loads(path.read_text())
    assert list(record)[-7:] == [
        "_status", "_error", "_model", "_cost_usd", "_attempts", "_run", "_time",
    ]  # fmt: skip
    assert list(record.values())[-5:] == [
        "claude-haiku-4-5", "0.00012", 2, 1, "2026-03-01T12:00:00+00:00",
    ]  # fmt: skip


@pytest.mark.parametrize("result_fields", [(), ("result",)])
def test_plain_text_is_the_column_result(tmp_path: Path, result_fields: tuple[str, ...]) -> None:
    path = tmp_path / "out.csv"

    export(path, failed("0", {"id": "0"}), row("1", {"id": "1"}, "Hi"), result_fields=result_fields)

    assert path.read_text() == (
        "id,result,_status,_error\n0,,failed,refused: no\n1,Hi,succeeded,\n"
    )


def test_the_column_result_is_there_before_any_item_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    export(path, pending("1", {"id": "1"}))

    assert path.read_text().startswith("id,result,_status")


def test_a_name_that_an_input_column_has_becomes_result_name(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    fields = {"mood": "?", "_status": "old", "result_a": 0, "a": 1}

    export(path, row("1", fields, {"mood": "good", "a": 2}), result_fields=("mood", "a"))

    assert json.loads(path.read_text()) == {
        "mood": "?", "_status": "old", "result_a": 0, "a": 1,
        "result_mood": "good", "result_result_a": 2, "result__status": "succeeded", "_error": "",
    }  # fmt: skip


def test_columns_that_only_some_items_have_stand_in_order_of_appearance(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    export(path, row("1", {"a": 1}, {"x": 1}), row("2", {"b": 2, "a": 3}, {"y": True, "x": None}))

    assert path.read_text() == ("a,b,x,y,_status,_error\n1,,1,,succeeded,\n3,2,,true,succeeded,\n")


def test_items_that_were_not_kept_are_known_by_their_key(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    export(path, row("-7", {}, "fine"))

    assert path.read_text() == "result,_key,_status,_error\nfine,-7,succeeded,\n"


def test_an_export_of_nothing_has_its_header(tmp_path: Path) -> None:
    export(tmp_path / "out.csv", result_fields=("mood",))
    export(tmp_path / "out.json", result_fields=("mood",))

    assert (tmp_path / "out.csv").read_text() == "mood,_key,_status,_error\n"
    assert json.loads((tmp_path / "out.json").read_text()) == []
