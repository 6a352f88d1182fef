"""The text of PDF, Word and web documents, by the libraries of the extra `documents`."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from batchai.documents.packages import needed
from batchai.errors import SourceError

MAX_TEXT_CHARS = 50_000_000  # a small file can unpack to a large text


def text_of(data: bytes, *, suffix: str, place: str) -> str:
    """The text of a document, its blocks parted by empty lines; raises SourceError.

    suffix: one of READABLE. place: names the file in messages.
    """
    try:
        return "\n\n".join(_bounded(_READERS[suffix](data), place))
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            f"{place}: cannot be read as {suffix[1:]} ({type(error).__name__}); is it damaged, or "
            "protected by a password?"
        ) from error


def _bounded(parts: Iterator[str], place: str) -> Iterator[str]:
    size = 0
    for part in filter(None, parts):
        size += len(part)
        if size > MAX_TEXT_CHARS:
            raise SourceError(f"{place}: holds more than {MAX_TEXT_CHARS:,} characters of text")
        yield part


def _pdf(data: bytes) -> Iterator[str]:
    reader = needed("pypdf").PdfReader(io.BytesIO(data))
    for page in reader.pages:
        yield page.extract_text().strip()


def _docx(data: bytes) -> Iterator[str]:
    document = needed("docx").Document(io.BytesIO(data))
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            rows = (" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows)
            yield "\n".join(rows)
        else:
            yield block.text.strip()


def _html(data: bytes) -> Iterator[str]:
    soup = needed("bs4").BeautifulSoup(data, "html.parser")
    for unseen in soup(["script", "style", "template", "noscript", "head"]):
        unseen.decompose()
    lines = (line.strip() for line in soup.get_text("\n").splitlines())
    yield "\n".join(line for line in lines if line)


_READERS: Mapping[str, Callable[[bytes], Iterator[str]]] = MappingProxyType(
    {".pdf": _pdf, ".docx": _docx, ".html": _html, ".htm": _html}
)
READABLE = frozenset(_READERS)


def is_readable(path: Path) -> bool:
    """Whether a file's text can be taken out of it."""
    return path.suffix.lower() in READABLE
