import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from batchai.errors import SourceError
from batchai.sources import open_source
from batchai.spec.models import Input
from tests.kit import as_nobody
from tests.sources.reading import bad, fields, read, write


def test_a_folder_of_documents_gives_one_item_a_file_in_a_fixed_order(tmp_path: Path) -> None:
    write(tmp_path / "b.md", "# B\r\n")
    write(tmp_path / "a" / "c.txt", "\ufeffdeep")
    write(tmp_path / "a.TXT", "first")
    write(tmp_path / "data.csv", "no document")
    write(tmp_path / ".hidden" / "x.md", "no")
    write(tmp_path / ".x.md", "no")

    assert fields(tmp_path) == [
        {"path": "a/c.txt", "name": "c.txt", "text": "deep"},
        {"path": "a.TXT", "name": "a.TXT", "text": "first"},
        {"path": "b.md", "name": "b.md", "text": "# B\r\n"},
    ]


def test_documents_of_a_glob_have_paths_from_its_fixed_part(tmp_path: Path) -> None:
    write(tmp_path / "docs" / "x" / "a.md", "A")
    write(tmp_path / "docs" / "y" / "b.md", "B")

    assert [row["path"] for row in fields(tmp_path / "docs" / "**" / "*.md")] == [
        "x/a.md",
        "y/b.md",
    ]


def test_one_document_and_documents_with_another_suffix_are_read(tmp_path: Path) -> None:
    one = write(tmp_path / "a.md", "A")
    write(tmp_path / "b.html", "B")

    assert fields(one) == [{"path": "a.md", "name": "a.md", "text": "A"}]
    assert [row["text"] for row in fields(tmp_path / "*.html", format="files")] == ["B"]


def test_names_that_are_no_utf8_stay_apart_and_can_be_stored(tmp_path: Path) -> None:
    for name in (b"\xff.txt", b"\xfe.txt"):
        (tmp_path / os.fsdecode(name)).write_text("x")

    paths = [row["path"] for row in fields(tmp_path)]

    assert paths == ["\\udcfe.txt", "\\udcff.txt"]


def test_a_document_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"caf\xe9")
    write(tmp_path / "b.txt", "ok")

    (row,) = bad(tmp_path)

    assert row.place == str(path)
    assert "byte 0xe9 is not valid utf-8" in row.problem
    assert [found["text"] for found in fields(tmp_path, encoding="latin-1")] == ["café", "ok"]


def test_a_document_too_large_or_in_another_encoding_is_a_bad_row(tmp_path: Path) -> None:
    with write(tmp_path / "a.txt", "").open("wb") as stream:
        stream.truncate((1 << 26) + 1)
    write(tmp_path / "b.txt", "\ufeffok".encode("utf-16-le"))
    write(tmp_path / "c.txt", b"\xff\xfex")

    assert [row.problem.split(" (")[0] for row in bad(tmp_path, encoding="utf-16")] == [
        "is larger than 64 MiB",
        "is not valid utf-16",
    ]
    assert [row["text"] for row in fields(tmp_path, encoding="utf-16")] == ["ok"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("feedbak.csv", "no such file; did you mean feedback.csv?"),
        ("other/feedback.csv", "no such file; the folder .* cannot be read"),
        ("*.jsonl", "matches no file"),
        ("*", "matches files of different formats"),
        ("empty", "holds no document"),
        ("old.xls", "save it as .xlsx or .csv"),
        ("packed.csv.gz", "unpack it first"),
        ("noname", "say `format: csv`"),
    ],
)
def test_a_path_without_an_input_is_refused_with_a_remedy(
    tmp_path: Path, name: str, message: str
) -> None:
    write(tmp_path / "feedback.csv", "id\n1\n")
    write(tmp_path / "note.md", "x")
    folder = tmp_path if name == "*" else tmp_path / "more"
    if name in ("old.xls", "packed.csv.gz", "noname"):
        write(folder / name, "x")
    (folder / "empty").mkdir(parents=True, exist_ok=True)
    place = tmp_path / name if name.startswith(("feed", "other", "*")) else folder / name

    with pytest.raises(SourceError, match=message):
        read(place)


def test_a_folder_with_a_data_format_is_refused_with_the_glob_to_write(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id\n1\n")

    with pytest.raises(SourceError, match=r"is a folder; name its files: `path: .*/\*\.csv`"):
        read(tmp_path, format="csv")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")

    with pytest.raises(SourceError, match="is not a regular file"):
        read(tmp_path / "a.csv")


def test_a_file_without_permission_is_refused() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = write(folder / "a.csv", "id\n1\n")
        path.chmod(0)
        folder.chmod(0o755)  # pytest's own folders are closed to others

        with as_nobody(), pytest.raises(SourceError, match="Permission denied"):
            read(path)


def test_a_file_that_looks_like_a_pattern_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a[1].csv", "id\n1\n")

    assert fields(path) == [{"id": "1"}]


def test_a_place_is_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data" / "a.csv", "id\n1\n")
    monkeypatch.chdir(tmp_path)

    assert [entry.place for entry in read(tmp_path / "data" / "a.csv")] == ["data/a.csv:2"]


def test_a_stamp_changes_with_the_file_and_with_the_selection(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id\n1\n")

    def stamp(**options: object) -> str | None:
        return open_source(Input(path=str(path), **options)).stamp()  # type: ignore[arg-type]

    first = stamp()
    assert stamp() == first
    assert len({first, stamp(limit=1), stamp(where="true"), stamp(encoding="latin-1")}) == 4
    os.utime(path, ns=(0, 1))
    assert stamp() != first


def test_a_stamp_is_that_of_the_opening_even_when_the_file_grows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id\n1\n")
    source = open_source(Input(path=str(path)))
    before = source.stamp()
    with path.open("a") as stream:
        stream.write("2\n")

    assert source.stamp() == before
    assert open_source(Input(path=str(path))).stamp() != before


@pytest.mark.parametrize("pattern", ["in", "in/*.md", "in/*/*.md"])
def test_a_link_that_leads_out_of_the_allowed_folders_is_refused(
    tmp_path: Path, pattern: str
) -> None:
    roots = ((tmp_path / "in").resolve(),)
    write(tmp_path / "in" / "a" / "a.md", "A")
    write(tmp_path / "in" / "b.md", "B")
    assert read(tmp_path / pattern, roots=roots)
    secret = write(tmp_path / "secret.md", "S")
    for folder in ("in", "in/a"):
        (tmp_path / folder / "link.md").symlink_to(secret)

    with pytest.raises(SourceError, match=r"link\.md: leads to .*secret\.md.*--allow-path"):
        read(tmp_path / pattern, roots=roots)
