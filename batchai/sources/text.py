"""Text files with an encoding: byte order marks, and bytes that the encoding does not know."""

import codecs
import io

from batchai.errors import SourceError
from batchai.sources.files import DataFile, open_bytes

_SNIFF_BYTES = 4096
_WIDE = ("utf-16", "utf-32")


def open_text(file: DataFile, encoding: str) -> io.TextIOWrapper:
    """The file as text, newlines untranslated.

    Bytes that the encoding does not know become lone surrogates, which `undecodable` finds, so that
    one bad byte is one bad row. (UTF-16 cannot do that: there UnicodeError is raised.)
    """
    codec = text_codec(file, encoding)
    stream = open_bytes(file, finish_line=not codec.startswith(_WIDE))
    return io.TextIOWrapper(stream, encoding=codec, errors="surrogateescape", newline="")


def text_codec(file: DataFile, encoding: str) -> str:
    """The codec's normal name, `utf-8-sig` where a file in UTF-8 begins with a byte order mark.

    Raises SourceError for an unknown encoding and for UTF-16 that is said to be something else.
    """
    try:
        codec = codecs.lookup(encoding).name
    except LookupError as error:
        raise SourceError(
            f"{file.place}: unknown encoding {encoding!r}; try utf-8, latin-1, cp1252 or utf-16"
        ) from error
    with open_bytes(file) as stream:
        start = stream.read(_SNIFF_BYTES)
    if not codec.startswith(_WIDE) and _looks_wide(start):
        raise SourceError(f"{file.place}: looks like UTF-16; say `input: {{encoding: utf-16}}`")
    return "utf-8-sig" if codec == "utf-8" and start.startswith(codecs.BOM_UTF8) else codec


def undecodable(text: str, encoding: str) -> str | None:
    """The problem where `text` holds bytes that the encoding does not know, else None."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) - 0xDC00
        return (
            f"byte 0x{byte:02x} is not valid {encoding}; "
            "if the file is in another encoding, say `input: {encoding: latin-1}`"
        )
    return None


def _looks_wide(start: bytes) -> bool:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    return start.count(0) > len(start) // 4
