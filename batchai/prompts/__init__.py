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
from batchai.prompts.shortening import Shortened, shortened

__all__ = [
    "FINGERPRINT_BYTES",
    "Asked",
    "Asking",
    "Kind",
    "Prefix",
    "Prompts",
    "Rendered",
    "Shortened",
    "fields_used",
    "is_same_request",
    "shortened",
]
