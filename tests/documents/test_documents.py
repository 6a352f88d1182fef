"""Files to attach, and the text of documents."""

from pathlib import Path

import pytest

from batchai.documents import IMAGES, PDF, Attacher, FileRules
from batchai.domain import Attachment
from batchai.errors import SourceError
from batchai.sources import open_source
from batchai.spec.models import Input
from tests.documents.making import pdf, png, word

ALL = FileRules(
    IMAGES | {PDF}, image_bytes=2_000, image_pixels=300, pdf_pages=2, request_bytes=10_000
)
WEB = b"<head><title>x</title></head><p>Total: <b>12</b></p><script>evil()</script><p>Thanks</p>"


def attacher(folder: Path, rules: FileRules = ALL) -> Attacher:
    return Attacher(folder, (folder,), rules)


def attached(folder: Path, name: str, data: bytes, rules: FileRules = ALL) -> Attachment | str:
    (folder / name).write_bytes(data)
    return attacher(folder, rules).attach(name)


def test_a_picture_is_known_by_its_content(tmp_path: Path) -> None:
    file = attached(tmp_path, "photo.jpg", png(30, 20))

    assert isinstance(file, Attachment)
    assert (file.media_type, file.width, file.height) == ("image/png", 30, 20)


def test_the_pages_of_a_pdf_are_counted(tmp_path: Path) -> None:
    file = attached(tmp_path, "bill.pdf", pdf("one", "two", "three"))

    assert isinstance(file, Attachment)
    assert (file.media_type, file.pages) == (PDF, 3)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.docx", word("Dear all,", table=[["pens", "4"]]), "Dear all,\n\npens | 4"),
        ("a.html", WEB, "Total:\n12\nThanks"),
        ("a.txt", "Grüße".encode(), "Grüße"),
    ],
    ids=["docx", "html", "txt"],
)
def test_what_no_model_takes_goes_as_text(
    tmp_path: Path, name: str, data: bytes, text: str
) -> None:
    assert attached(tmp_path, name, data) == f'<document name="{name}">\n{text}\n</document>'


def test_a_pdf_goes_as_text_where_the_model_takes_none(tmp_path: Path) -> None:
    text = attached(tmp_path, "bill.pdf", pdf("Total 12", "Thanks"), FileRules())

    assert text == '<document name="bill.pdf">\nTotal 12\n\nThanks\n</document>'


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("x.bin", b"\0\1\2", "x.bin: is neither an image"),
        ("x.pdf", b"%PDF-1.4 broken", "x.pdf: is no whole PDF"),
        ("x.docx", b"no zip", "x.docx: cannot be read as docx"),
    ],
    ids=["unknown", "broken pdf", "broken docx"],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, data: bytes, problem: str
) -> None:
    with pytest.raises(SourceError, match=problem):
        attached(tmp_path, name, data)


@pytest.mark.parametrize("name", ["../secret.png", "link.png", "/etc/hostname"])
def test_data_cannot_name_files_outside_of_the_allowed_folders(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (inside / "link.png").symlink_to(tmp_path / "secret.png")

    with pytest.raises(SourceError, match=r"outside|no such file"):
        attacher(inside).attach(name)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.png": png(301, 5)}, "a.png: has 301 x 5 pixels, the model takes 300"),
        ({"a.pdf": pdf("1", "2", "3")}, "a.pdf: has 3 pages, the model takes 2"),
        ({f"{n}.pdf": pdf("1", "2" * 1_500) for n in range(6)}, "of files; one request takes"),
        ({"a.png": png(), "b.pdf": pdf("1")}, None),
    ],
    ids=["pixels", "pages", "together", "fits"],
)
def test_limits_are_checked_before_anything_is_sent(
    tmp_path: Path, files: dict[str, bytes], problem: str | None
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    opened = [attacher(tmp_path).attach(name) for name in files]

    found = ALL.problem([file for file in opened if isinstance(file, Attachment)])

    assert found is None if problem is None else problem in (found or "")


def test_a_folder_gives_the_text_of_documents_and_the_names_of_pictures(tmp_path: Path) -> None:
    for name, data in {
        "a.pdf": pdf("Total 12"),
        "b.docx": word("Hello"),
        "c.png": png(),
        "d.md": b"# As it is\n",
    }.items():
        (tmp_path / name).write_bytes(data)

    texts = [record.fields["text"] for record in open_source(Input(path=str(tmp_path))).records()]  # type: ignore[union-attr]
    untouched = open_source(Input(path=str(tmp_path)), extracts=False).head()

    assert texts == ["Total 12", "Hello", "", "# As it is\n"]
    assert [record.fields["text"] for record in untouched] == ["", "", "", "# As it is\n"]  # type: ignore[union-attr]
