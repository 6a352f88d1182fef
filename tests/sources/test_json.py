import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.errors import SourceError
from batchai.sources import BadRow, Record, open_source
from batchai.spec.models import Input
from tests.sources.reading import bad, fields, read, write

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUE, max_size=4), min_size=1, max_size=6)


def test_blank_lines_are_passed_over_and_places_count_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '\ufeff{"a":1}\r\n\n  \n{"a":2}')

    assert [(entry.place) for entry in read(path)] == [f"{path}:1", f"{path}:4"]
    assert fields(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "is not valid JSON"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": 1e400}', "infinite"),
        (b'"text"', "is a string, not an object"),
        (b"null", "is null, not an object"),
        (b'{"a": "caf\xe9"}', "byte 0xe9 is not valid utf-8"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer"),
    ],
    ids=["cut", "nan", "infinite", "string", "null", "latin-1", "deep", "long-integer"],
)
def test_a_bad_line_is_a_bad_row(tmp_path: Path, line: bytes, problem: str) -> None:
    path = write(tmp_path / "a.jsonl", b'{"a": 0}\n' + line + b'\n{"a": 2}\n')

    (row,) = bad(path)

    assert row.place == f"{path}:2"
    assert problem in row.problem
    assert fields(path) == [{"a": 0}, {"a": 2}]


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**40])
def test_integers_of_any_size_are_kept(tmp_path: Path, number: int) -> None:
    lines = write(tmp_path / "a.jsonl", json.dumps({"a": number, "b": [{"c": number}]}))
    array = write(tmp_path / "a.json", json.dumps([{"a": number, "b": [{"c": number}]}]))

    assert fields(lines) == fields(array) == [{"a": number, "b": [{"c": number}]}]


def test_lone_surrogates_become_the_replacement_character(tmp_path: Path) -> None:
    content = r'{"a": "x\ud800y", "\udc00": ["\ud83d\ude00"]}'
    lines = write(tmp_path / "a.jsonl", content)
    array = write(tmp_path / "a.json", f"[{content}]")

    assert fields(lines) == fields(array) == [{"a": "x\ufffdy", "\ufffd": ["😀"]}]


def test_lines_in_another_encoding_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": "é"}\n{"a": "ü"}\n'.encode("utf-16"))

    assert fields(path, encoding="utf-16") == [{"a": "é"}, {"a": "ü"}]


def test_an_array_in_a_file_of_lines_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '[{"a": 1}]')

    with pytest.raises(SourceError, match="say `format: json`"):
        read(path)
    assert fields(path, format="json") == [{"a": 1}]


def test_a_line_of_an_array_that_is_no_object_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", b'[{"a": 1}, 17, {"a": NaN}, {"a": "caf\xe9"}, {"a": 2}]')

    assert [(row.place, row.problem.split(",")[0].split(";")[0]) for row in bad(path)] == [
        (f"{path}: element 2", "is a number"),
        (f"{path}: element 3", "holds NaN or an infinite number"),
        (f"{path}: element 4", "byte 0xe9 is not valid utf-8"),
    ]
    assert fields(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must hold an array"),
        ("[]", "holds no records"),
        ('{"a": 1}', "say `format: jsonl`"),
        ('[{"a": 1}', "the file ends there"),
        ('[{"a": 1},', "element 2: the file ends before it"),
        ('[{"a": 1} {"a": 2}]', "element 1: a comma or ] must follow it"),
        ('[{"a": 1}, {"a": }]', "element 2: not valid JSON"),
    ],
)
def test_a_broken_array_is_an_error_and_never_an_end(
    tmp_path: Path, content: str, message: str
) -> None:
    path = write(tmp_path / "a.json", content)

    with pytest.raises(SourceError, match=message):
        read(path)


def test_elements_larger_than_the_buffer_are_read(tmp_path: Path) -> None:
    rows = [
        {"n": number, "text": "x" * size} for number, size in enumerate([10, 900_000, 5, 300_000])
    ]
    path = write(tmp_path / "a.json", json.dumps(rows, indent=1))

    assert fields(path) == rows


def test_standard_input_is_read_once_and_what_was_peeked_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = io.BytesIO(b'{"a": 1}\n{"b": 2}\nbad\n{"a": 3}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines))
    source = open_source(Input(path="-"))

    assert source.columns() == ("a", "b")
    assert [entry.place for entry in source.head(2)] == ["stdin:1", "stdin:2"]
    entries = list(source.records())

    assert [entry.fields for entry in entries if isinstance(entry, Record)] == [
        {"a": 1},
        {"b": 2},
        {"a": 3},
    ]
    assert [entry.place for entry in entries if isinstance(entry, BadRow)] == ["stdin:3"]
    assert source.stamp() is None


def test_standard_input_is_jsonl_only() -> None:
    with pytest.raises(SourceError, match="stdin is read as jsonl, not csv"):
        open_source(Input(path="-", format="csv"))


@settings(max_examples=25)
@given(RECORDS, st.booleans())
def test_what_json_writes_is_read_back(records: list[dict[str, Any]], ascii_only: bool) -> None:
    lines = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    with tempfile.TemporaryDirectory() as folder:
        from_lines = fields(write(Path(folder) / "x.jsonl", lines))
        from_array = fields(write(Path(folder) / "x.json", json.dumps(records, indent=2)))

    assert from_lines == from_array == records


def test_a_line_without_end_is_a_bad_row_and_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as stream:
        stream.write(b'{"a": 1}\n"' + b"x" * 8192)
        stream.truncate((1 << 26) * 2)  # NULs to the end of 128 MiB: no newline, and no disk used
        stream.seek(0, 2)
        stream.write(b'"\n{"a": 2}\n')

    (row,) = bad(path)

    assert (row.place, row.problem) == (f"{path}:2", "is longer than 64 MiB")
    assert fields(path) == [{"a": 1}, {"a": 2}]


def test_lines_and_arrays_that_are_not_in_the_named_encoding_are_refused(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", "\ufeff{}\n".encode("utf-16-le") + b"\x00\xd8x\x00")
    array = write(tmp_path / "a.json", "\ufeff[{}".encode("utf-16-le") + b"\x00\xd8x\x00")

    for path in (lines, array):
        with pytest.raises(SourceError, match="is not valid utf-16"):
            read(path, encoding="utf-16")
    assert [row.place for row in bad(write(lines, b'{"a": "\x81"}\n'), encoding="cp1252")] == [
        f"{lines}:1"
    ]
