"""Item → the text of requests, and their fingerprints."""

from batchai.prompts.asking import Asked, Asking, Kind
from batchai.prompts.rendering import (
    FINGERPRINT_BYTES,
    Prefix,
    Prompts,
    Rendered,
    fields_used,
    is_same_request,
)
from batchai.prompts.shortening import (
    MOST_HALVINGS,
    Excerpt,
    Shortened,
    answers_on_parts,
    halves,
    halvings,
    longest,
    shortened,
    with_text,
)

__all__ = [
    "FINGERPRINT_BYTES",
    "MOST_HALVINGS",
    "Asked",
    "Asking",
    "Excerpt",
    "Kind",
    "Prefix",
    "Prompts",
    "Rendered",
    "Shortened",
    "answers_on_parts",
    "fields_used",
    "halves",
    "halvings",
    "is_same_request",
    "longest",
    "shortened",
    "with_text",
]
