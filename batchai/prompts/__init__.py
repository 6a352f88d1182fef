"""Item → the text of requests, and their fingerprints."""

from batchai.prompts.asking import Asked, Asking, Kind
from batchai.prompts.rendering import (
    FINGERPRINT_BYTES,
    Prefix,
    Prompts,
    Rendered,
    fields_used,
    is_kept,
    is_same_request,
    kept,
    needs_results,
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
    "is_kept",
    "is_same_request",
    "kept",
    "longest",
    "needs_results",
    "shortened",
    "with_text",
]
