"""Small documents and pictures, made here."""

import io
from collections.abc import Sequence
from typing import Any

import docx
from PIL import Image


def png(width: int = 30, height: int = 20) -> bytes:
    """A grey picture."""
    stream = io.BytesIO()
    Image.new("L", (width, height), 128).save(stream, "PNG")
    return stream.getvalue()


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text a page, written by hand (ISO 32000-1, 7.5)."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    kids = []
    for text in pages:
        stream = b"BT /F1 12 Tf 20 100 Td (%b) Tj ET" % text.encode("latin-1")
        content, page = len(objects) + 1, len(objects) + 2
        kids.append(b"%d 0 R" % page)
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents %d 0 R "
            b"/Resources << /Font << /F1 %b >> >> >>" % (content, font)
        )
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(kids), b" ".join(kids))
    return _file(objects)


def word(*paragraphs: str, table: Sequence[Sequence[str]] = ()) -> bytes:
    """A Word document with paragraphs and, after them, a table."""
    document: Any = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    if table:
        made = document.add_table(rows=0, cols=len(table[0]))
        for row in table:
            for cell, text in zip(made.add_row().cells, row, strict=True):
                cell.text = text
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def _file(objects: list[bytes]) -> bytes:
    body = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return (
        body
        + b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
        + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (size, len(body))
    )
