"""Request bodies: the part that a step's requests share is built once."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from batchai.domain import ModelSettings
from batchai.schemas import safe_value

_MAX_KEPT = 64
OVERHEAD_TOKENS = 1024  # what providers add unseen: turn markers, the schema's instructions


class Bodies:
    """Encodes bodies; keeps the constant part (parameters, schema) of each settings value seen."""

    def __init__(self, constant_part: Callable[[ModelSettings], dict[str, Any]]) -> None:
        self._constant_part = constant_part
        self._kept: dict[int, tuple[ModelSettings, dict[str, Any]]] = {}

    def encode(self, settings: ModelSettings, own: Mapping[str, Any]) -> bytes:
        """Constant part, then `own`, as JSON."""
        kept = self._kept.get(id(settings))
        if kept is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            # the settings are kept too, so that their id is not given to another value
            kept = self._kept[id(settings)] = settings, self._built(settings)
        try:
            return orjson.dumps({**kept[1], **own})
        except orjson.JSONEncodeError:
            return orjson.dumps({**kept[1], **_fragments(own)})

    def _built(self, settings: ModelSettings) -> dict[str, Any]:
        part = merged(self._constant_part(settings), settings.extra_body or {})
        return _fragments(part)


def _fragments(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: orjson.Fragment(_json(value)) for name, value in members.items()}


def _json(value: Any) -> bytes:
    """UTF-8 JSON; the slow way for what orjson refuses: lone surrogates, integers above 64 bits."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(safe_value(value), ensure_ascii=False, separators=(",", ":")).encode()


def merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `extra` over it; maps within maps are merged, anything else is replaced."""
    result = dict(base)
    for name, value in extra.items():
        old = result.get(name)
        result[name] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return result


def worst_input_tokens(size_bytes: int) -> int:
    """An upper bound of the input tokens that a request with a body of this size is billed.

    Tokenizers of the byte-level kind make at most one token of a byte; JSON escapes and names
    only add to the count. OVERHEAD_TOKENS stands for what the provider adds.
    """
    return size_bytes + OVERHEAD_TOKENS
