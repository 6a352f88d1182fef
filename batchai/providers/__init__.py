"""The providers: one account at one address, asked one request at a time."""

from batchai.providers.attachments import (
    encoded_bytes,
    estimated_tokens,
    file_rules,
    files_of,
    worst_tokens,
)
from batchai.providers.base import Provider
from batchai.providers.bodies import worst_input_tokens
from batchai.providers.caching import least_cached_tokens
from batchai.providers.parameters import parameter_mistakes, turn_mistakes
from batchai.providers.registry import check_provider, key_variables, open_provider
from batchai.providers.streaming import Deadlines

__all__ = [
    "Deadlines",
    "Provider",
    "check_provider",
    "encoded_bytes",
    "estimated_tokens",
    "file_rules",
    "files_of",
    "key_variables",
    "least_cached_tokens",
    "open_provider",
    "parameter_mistakes",
    "turn_mistakes",
    "worst_input_tokens",
    "worst_tokens",
]
