"""Request bodies: the part that a step's requests share is built once."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from batchai.domain import ModelSettings

OVERHEAD_TOKENS = 1024  # what providers add unseen: turn markers, the schema's instructions


class Bodies:
    """Encodes bodies; keeps the constant part (parameters, schema) of each settings value seen."""

    def __init__(self, constant_part: Callable[[ModelSettings], dict[str, Any]]) -> None:
        self._constant_part = constant_part
        self._kept: dict[int, tuple[ModelSettings, dict[str, Any]]] = {}

    def encode(self, settings: ModelSettings, own: Mapping[str, Any]) -> bytes:
        """Constant part, then `own`, as JSON."""
        kept = self._kept.get(id(settings))
        if kept is None or kept[0] is not settings:
            # the settings are kept too, so that their id is not given to another value
            kept = self._kept[id(settings)] = settings, self._built(settings)
        return orjson.dumps({**kept[1], **own})

    def _built(self, settings: ModelSettings) -> dict[str, Any]:
        part = merged(self._constant_part(settings), settings.extra_body or {})
        return {name: orjson.Fragment(orjson.dumps(value)) for name, value in part.items()}


def merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `extra` over it; maps within maps are merged, anything else is replaced."""
    result = dict(base)
    for name, value in extra.items():
        old = result.get(name)
        result[name] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return result


def worst_input_tokens(body: bytes) -> int:
    """An upper bound of the input tokens that a request of these bytes is billed.

    Tokenizers of the byte-level kind make at most one token of a byte; JSON escapes and names
    only add to the count. OVERHEAD_TOKENS stands for what the provider adds.
    """
    return len(body) + OVERHEAD_TOKENS
