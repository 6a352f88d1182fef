"""How long an answer gets: the bound behind the default max_tokens, and what is typical."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from batchai.schemas.walking import Schema, alternatives, referenced, types_of

TEXT_TOKENS = 1024
TYPICAL_TEXT_TOKENS = 150
LEAST_TOKENS = 256
REASONING_TOKENS = 4096
MOST_TOKENS = 16_384  # of the default: a longer answer is asked for by name


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How long what a schema leaves open is taken to be, in tokens.

    text: a string. form: one with a `format`. items: of a list. literal_bytes: of a token of a
    literal. of: which of several possible lengths counts.
    """

    text: int
    form: int
    items: int
    literal_bytes: int
    scalars: Mapping[str, int]
    of: Callable[[Sequence[float]], float]


_GENEROUS = _Sizes(  # a few sentences; a byte-level tokenizer seldom needs a token for two bytes
    text=200,
    form=24,
    items=10,
    literal_bytes=2,
    scalars={"integer": 12, "number": 14, "boolean": 3, "null": 3},
    of=max,
)
_TYPICAL = _Sizes(  # a sentence, a short list
    text=30,
    form=12,
    items=3,
    literal_bytes=4,
    scalars={"integer": 2, "number": 4, "boolean": 1, "null": 1},
    of=fmean,
)


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
    return math.ceil(_length(schema, schema, (), _GENEROUS))


def typical_output_tokens(schema: Schema | None) -> int:
    """Tokens that an answer may take, before any is known: texts of a sentence, short lists.

    Without a schema a text of a few sentences.
    """
    if schema is None:
        return TYPICAL_TEXT_TOKENS
    return math.ceil(_length(schema, schema, (), _TYPICAL))


def _length(schema: Any, root: Schema, path: tuple[str, ...], sizes: _Sizes) -> float:
    if not isinstance(schema, Mapping):
        return sizes.text
    if "$ref" in schema:
        reference = str(schema["$ref"])
        target = None if reference in path else referenced(reference, root)
        return sizes.text if target is None else _length(target, root, (*path, reference), sizes)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum") or [schema.get("const")]
        return sizes.of([_literal(value, sizes) for value in values])
    found = [_of_type(one, schema, root, path, sizes) for one in types_of(schema)]
    found += [_length(branch, root, path, sizes) for branch in alternatives(schema)]
    found += [_length(part, root, path, sizes) for part in schema.get("allOf", ())]
    if not found:
        kind = "object" if "properties" in schema else "string"
        found = [_of_type(kind, schema, root, path, sizes)]
    return sizes.of(found)


def _of_type(
    kind: str, schema: Schema, root: Schema, path: tuple[str, ...], sizes: _Sizes
) -> float:
    if kind == "object":
        properties: Schema = schema.get("properties", {})
        known = sum(
            _literal(name, sizes) + 3 + _length(one, root, path, sizes)
            for name, one in properties.items()
        )
        is_open = not properties or isinstance(schema.get("additionalProperties"), Mapping)
        return 4 + known + (sizes.text if is_open else 0)
    if kind == "array":
        least = schema.get("minItems", 0)
        number: int = max(least, _few(sizes.items, schema.get("maxItems"), sizes))
        return 4 + number * (2 + _length(schema.get("items"), root, path, sizes))
    if kind == "string":
        return _string(schema, sizes)
    return sizes.scalars.get(kind, sizes.text)


def _few(guess: int, most: int | None, sizes: _Sizes) -> int:
    """A number or length that the schema bounds: generously all of it, typically the guess."""
    if most is None:
        return guess
    return most if sizes is _GENEROUS else min(most, guess)


def _string(schema: Schema, sizes: _Sizes) -> int:
    if "maxLength" in schema:
        return _few(sizes.text, int(schema["maxLength"]) // sizes.literal_bytes + 2, sizes)
    return sizes.form if "format" in schema else sizes.text


def _literal(value: Any, sizes: _Sizes) -> int:
    size = len(json.dumps(value, ensure_ascii=False).encode())
    return math.ceil(size / sizes.literal_bytes) + 1
