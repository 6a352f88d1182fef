"""What a file to attach is, by its content: never by its name alone."""

import hashlib
import io
from pathlib import Path
from typing import Any

from batchai.documents.packages import needed
from batchai.domain import Attachment
from batchai.errors import SourceError

PDF = "application/pdf"
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_MAX_PIXELS = 200_000_000  # beyond it a picture is a bomb rather than a picture


def inspect(path: Path, data: bytes, *, place: str) -> Attachment:
    """The image or PDF in `data`; raises SourceError for anything else, and for damaged ones."""
    if data.startswith(b"%PDF-"):
        media_type, width, height, pages = PDF, 0, 0, _pages(data, place)
    else:
        media_type, width, height = _image(data, place)
        pages = 0
    return Attachment(
        path=path,
        media_type=media_type,
        size_bytes=len(data),
        digest=hashlib.sha256(data).digest(),
        width=width,
        height=height,
        pages=pages,
    )


def _pages(data: bytes, place: str) -> int:
    reader = needed("pypdf")
    try:
        return len(reader.PdfReader(io.BytesIO(data)).pages)
    except Exception as error:
        raise SourceError(
            f"{place}: is no whole PDF ({type(error).__name__}); is it damaged, or protected by a "
            "password?"
        ) from error


def _image(data: bytes, place: str) -> tuple[str, int, int]:
    pillow: Any = needed("PIL.Image")
    try:
        with pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            media_type = str(pillow.MIME[image.format])
    except Exception as error:
        raise SourceError(
            f"{place}: is neither an image (PNG, JPEG, GIF, WebP) nor a PDF; other documents are "
            "attached as text: .docx, .html, .txt, .md"
        ) from error
    if width * height > _MAX_PIXELS:
        raise SourceError(f"{place}: has {width:,} x {height:,} pixels; make it smaller")
    return media_type, width, height
