import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.errors import SourceError
from batchai.sources import Record, open_source
from batchai.spec.models import Input
from tests.sources.reading import bad, fields, read, write

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


def test_values_stay_the_strings_that_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,n\n007,1.50\n,NULL\n")

    assert fields(path) == [{"id": "007", "n": "1.50"}, {"id": "", "n": "NULL"}]


def test_a_place_names_the_line_on_which_the_record_starts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,"two\nlines"\n\n2,x\n')

    places = [entry.place for entry in read(path)]

    assert places == [f"{path}:2", f"{path}:5"]


def test_a_ragged_row_is_bad_and_the_rows_after_it_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,"a\nb"\n2\n3,x,y\n4,z\n')

    assert [(row.place, row.problem.split(";")[0]) for row in bad(path)] == [
        (f"{path}:4", "has 1 fields, the header has 2"),
        (f"{path}:5", "has 3 fields, the header has 2"),
    ]
    assert [row["id"] for row in fields(path)] == ["1", "4"]


def test_a_quote_that_is_never_closed_is_a_bad_row_and_not_a_long_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,a\n2,"open\n3,c\n')

    (row,) = bad(path)

    assert row.place == f"{path}:3"
    assert "never closed" in row.problem


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
    ],
)
def test_encodings_and_byte_order_marks_are_read(tmp_path: Path, encoding: str, said: str) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,é\n2,ü\n".encode(encoding))

    assert fields(path, encoding=said) == [{"id": "1", "text": "é"}, {"id": "2", "text": "ü"}]


def test_one_bad_byte_is_one_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"id,text\n1,ok\n2,caf\xe9\n3,ok\n")

    (row,) = bad(path)

    assert row.place == f"{path}:3"
    assert "byte 0xe9 is not valid utf-8" in row.problem
    assert [found["id"] for found in fields(path)] == ["1", "3"]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "is empty"),
        (b"\n\n", {}, "is empty"),
        (b"id,text\n", {}, "holds no records"),
        (b"id,text,id\n1,a,2\n", {}, "more than one column is named 'id'"),
        ("id,text\n1,a\n".encode("utf-16"), {}, "looks like UTF-16"),
        ("id,text\n1,a\n".encode("utf-16-le"), {}, "looks like UTF-16"),
        (b"id,text\n1,a\n", {"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        (b"id,text\n1,abc", {"encoding": "utf-16"}, "is not valid utf-16"),
    ],
)
def test_a_file_that_cannot_be_an_input_is_refused(
    tmp_path: Path, content: bytes, options: dict[str, str], message: str
) -> None:
    path = write(tmp_path / "a.csv", content)

    with pytest.raises(SourceError, match=message) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)


def test_semicolons_and_tabs_separate_where_the_header_has_no_comma(tmp_path: Path) -> None:
    semicolons = write(tmp_path / "a.csv", "id;text\n1;a, b\n")
    tabs = write(tmp_path / "b.csv", "id\ttext\n1\ta, b\n")

    assert fields(semicolons) == fields(tabs) == [{"id": "1", "text": "a, b"}]


def test_nul_characters_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,a\0b\n")

    assert fields(path) == [{"id": "1", "text": "a\0b"}]


def test_a_field_of_a_megabyte_is_read_and_the_limit_of_others_is_not_lowered(
    tmp_path: Path,
) -> None:
    before = csv.field_size_limit()
    path = write(tmp_path / "a.csv", f"id,text\n1,{'x' * 1_000_000}\n")

    assert len(fields(path)[0]["text"]) == 1_000_000
    assert csv.field_size_limit() >= before


def test_files_of_a_glob_are_one_input_whatever_the_order_of_columns(tmp_path: Path) -> None:
    write(tmp_path / "b.csv", "text,id\nb,2\n")
    write(tmp_path / "a.csv", "id,text\n1,a\n")

    entries = read(tmp_path / "*.csv")

    assert [(entry.number, entry.fields) for entry in entries if isinstance(entry, Record)] == [
        (0, {"id": "1", "text": "a"}),
        (1, {"id": "2", "text": "b"}),
    ]


def test_files_of_a_glob_with_other_columns_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id,text\n1,a\n")
    write(tmp_path / "b.csv", "id,words\n2,b\n")

    with pytest.raises(
        SourceError, match=r"b\.csv: has other columns than .*a\.csv .*'text'.*'words'"
    ):
        read(tmp_path / "*.csv")


def test_lines_added_after_opening_belong_to_the_next_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,a\n2,b")
    source = open_source(Input(path=str(path)))
    with path.open("a") as stream:
        stream.write("c\n3,d\n4,e")

    found = [entry.fields for entry in source.records() if isinstance(entry, Record)]

    assert found == [{"id": "1", "text": "a"}, {"id": "2", "text": "bc"}]


def test_a_file_that_became_shorter_is_an_error_and_not_an_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,a\n2,b\n")
    source = open_source(Input(path=str(path)))
    write(path, "id,text\n1,a\n")

    with pytest.raises(SourceError, match="became shorter while it was read"):
        list(source.records())


@settings(max_examples=25)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from([",", "\t"]))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str]], mark: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=mark, lineterminator="\r\n")
    writer.writerows([("a", "b"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / ("x.csv" if mark == "," else "x.tsv"), text.getvalue())
        found = [(row["a"], row["b"]) for row in fields(path)]

    assert found == rows
