"""How long an answer may get: the bound behind the default max_tokens."""

import json
import math
from collections.abc import Mapping
from typing import Any

from batchai.schemas.walking import Schema, alternatives, referenced, types_of

TEXT_TOKENS = 1024
LEAST_TOKENS = 256
REASONING_TOKENS = 4096
MOST_TOKENS = 16_384  # of the default: a longer answer is asked for by name
_OPEN_TOKENS = 200  # a string of a few sentences
_OPEN_ITEMS = 10
_FORMAT_TOKENS = 24
_SCALARS = {"integer": 12, "number": 14, "boolean": 3, "null": 3}


def default_max_tokens(schema: Schema | None, effort: str | None) -> int:
    """What is sent where the job names no max_tokens.

    Twice the schema's bound, at least 256 and at most 16,384; 1,024 for text; 4,096 more where the
    model is to reason first.
    """
    answer = TEXT_TOKENS
    if schema is not None:
        answer = min(MOST_TOKENS, max(LEAST_TOKENS, 2 * output_token_bound(schema)))
    return answer + (REASONING_TOKENS if effort not in (None, "none") else 0)


def output_token_bound(schema: Schema) -> int:
    """Tokens that a generous answer takes, as indented JSON; open strings and lists are guessed."""
    return _bound(schema, schema, ())


def _bound(schema: Any, root: Schema, path: tuple[str, ...]) -> int:
    if not isinstance(schema, Mapping):
        return _OPEN_TOKENS
    if "$ref" in schema:
        reference = str(schema["$ref"])
        target = None if reference in path else referenced(reference, root)
        return _OPEN_TOKENS if target is None else _bound(target, root, (*path, reference))
    if "enum" in schema or "const" in schema:
        return max(map(_literal, schema.get("enum") or [schema.get("const")]))
    sizes = [_of_type(one, schema, root, path) for one in types_of(schema)]
    sizes += [_bound(branch, root, path) for branch in alternatives(schema)]
    sizes += [_bound(part, root, path) for part in schema.get("allOf", ())]
    if not sizes:
        sizes = [_of_type("object" if "properties" in schema else "string", schema, root, path)]
    return max(sizes)


def _of_type(kind: str, schema: Schema, root: Schema, path: tuple[str, ...]) -> int:
    if kind == "object":
        properties: Schema = schema.get("properties", {})
        known = sum(
            _literal(name) + 3 + _bound(one, root, path) for name, one in properties.items()
        )
        is_open = not properties or isinstance(schema.get("additionalProperties"), Mapping)
        return 4 + known + (_OPEN_TOKENS if is_open else 0)
    if kind == "array":
        number: int = max(schema.get("maxItems", _OPEN_ITEMS), schema.get("minItems", 0))
        return 4 + number * (2 + _bound(schema.get("items"), root, path))
    if kind == "string":
        return _string(schema)
    return _SCALARS.get(kind, _OPEN_TOKENS)


def _string(schema: Schema) -> int:
    if "maxLength" in schema:
        return int(schema["maxLength"]) // 2 + 2
    return _FORMAT_TOKENS if "format" in schema else _OPEN_TOKENS


def _literal(value: Any) -> int:
    """A byte-level tokenizer seldom needs more than a token for two bytes."""
    return math.ceil(len(json.dumps(value, ensure_ascii=False).encode()) / 2) + 1
