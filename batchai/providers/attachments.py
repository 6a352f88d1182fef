"""Images and PDFs in a request: what a model takes, how they are written, how many tokens they are.

Sources, autumn 2026: Anthropic, "Vision" and "PDF support"; OpenAI, "Images and vision" and "File
inputs".
"""

import base64
import hashlib
import math
import re
from collections.abc import Iterable

from batchai.documents import IMAGES, PDF, FileRules
from batchai.domain import Attachment, Request
from batchai.errors import SourceError
from batchai.providers.registry import is_foreign
from batchai.spec.models import Model

_MIB = 1024 * 1024
_ANTHROPIC = FileRules(
    media_types=IMAGES | {PDF},
    image_bytes=5 * _MIB * 3 // 4,  # 5 MiB of Base64
    image_pixels=8_000,
    pdf_pages=100,
    request_bytes=30 * _MIB * 3 // 4,  # 32 MB in all, the text among it
)
_OPENAI = FileRules(
    media_types=IMAGES | {PDF},
    image_bytes=20 * _MIB,
    image_pixels=16_000,
    pdf_pages=1_000,
    request_bytes=48 * _MIB * 3 // 4,
)
_COMPATIBLE = FileRules(
    media_types=IMAGES, image_bytes=20 * _MIB, image_pixels=16_000, request_bytes=48 * _MIB * 3 // 4
)
_NONE = FileRules()

_PIXELS_PER_TOKEN = 750
_LARGEST_IMAGE_TOKENS = 1_600  # as images are scaled down to
_WORST_IMAGE_TOKENS = 5_000  # 4,784 on models of high resolution
_WORST_IMAGE_TOKENS_BY_MODEL = ((re.compile(r"gpt-4o-mini"), 48_169),)  # 2,833 + 8 tiles of 5,667
_PAGE_TOKENS = 2_500  # a page goes as its picture and as its text
_WORST_PAGE_TEXT_TOKENS = 5_000


def file_rules(model: Model) -> FileRules:
    """What a model takes of files. Compatible servers take images at most, local models nothing."""
    if model.provider == "anthropic":
        return _ANTHROPIC
    if model.provider == "openai":
        return _COMPATIBLE if is_foreign(model) else _OPENAI
    return _NONE


def base64_of(file: Attachment) -> str:
    """Its content; raises SourceError where it is gone, or is not what the request was made of."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise SourceError(f"{file.path.name}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).digest() != file.digest:
        raise SourceError(f"{file.path.name}: has changed since it was looked at; run again")
    return base64.b64encode(data).decode("ascii")


def files_of(request: Request) -> list[Attachment]:
    """All that is attached to a request."""
    return [file for message in request.messages for file in message.attachments]


def encoded_bytes(files: Iterable[Attachment]) -> int:
    """What they take of a request's body."""
    return sum(4 * math.ceil(file.size_bytes / 3) for file in files)


def estimated_tokens(files: Iterable[Attachment]) -> int:
    """What providers are likely to count for them."""
    return sum(
        file.pages * _PAGE_TOKENS
        or min(_LARGEST_IMAGE_TOKENS, math.ceil(file.width * file.height / _PIXELS_PER_TOKEN))
        for file in files
    )


def worst_tokens(model: str, files: Iterable[Attachment]) -> int:
    """The most that they are billed as, for a model by its id.

    A bound by what providers document, not by bytes: a page of a PDF denser than 5,000 tokens of
    text would exceed it.
    """
    image = next(
        (tokens for known, tokens in _WORST_IMAGE_TOKENS_BY_MODEL if known.match(model)),
        _WORST_IMAGE_TOKENS,
    )
    return sum(file.pages * (image + _WORST_PAGE_TEXT_TOKENS) or image for file in files)
