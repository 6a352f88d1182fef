"""What the simulated model writes: the same request always gets the same answer."""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from batchai.simulator.requests import SimRequest

DEPTH_BOUND = 6  # below it only what a schema demands is written, so that recursion ends
_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T08:30:00Z",
    "time": "08:30:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/1",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000001",
}
# No generator of regular expressions: the first of these that matches is taken.
_CANDIDATES = (
    "abc", "a", "ABC", "A", "Abc", "1", "12", "123", "1234", "12345", "2026", "2026-11-22",
    "12:30", "A1", "AB12", "ABC-123", "abc-123", "a@example.com", "https://example.com", "#a1b2c3",
    "1.5", "+491234567", "A00.0", "en", "en-GB", "EUR", "USD", "v1.2.3", "",
)  # fmt: skip


def default_answer(request: SimRequest) -> str:
    """JSON that fits the request's schema, or a plain sentence that echoes the prompt."""
    if request.schema is None:
        return f"Answer to: {request.prompt[:40]}"
    seed = f"{request.model}\0{request.system}"
    return json.dumps(fitting(request.schema, prompt=request.prompt, seed=seed))


def fitting(schema: Mapping[str, Any], *, prompt: str, seed: str = "") -> Any:
    """A value that fits the JSON Schema, chosen by the seed; strings echo a word of the prompt.

    Covers enum, const, types, bounds, formats, nested objects, arrays, anyOf, oneOf, allOf, local
    $ref with recursion. A `pattern` is met where one of a few dozen usual strings meets it, else
    it is not.
    """
    return _Writer(schema, prompt, seed).value(schema, 0)


class _Writer:
    def __init__(self, root: Mapping[str, Any], prompt: str, seed: str) -> None:
        raw = f"{seed}\0{prompt}".encode("utf-8", "surrogatepass")
        self._root = root
        self._choose = random.Random(int.from_bytes(hashlib.sha256(raw).digest()[:8], "big"))
        self._words = re.findall(r"\w{2,20}", prompt) or ["nothing"]

    def value(self, schema: Any, depth: int) -> Any:
        """A value for a sub-schema at this depth of nesting."""
        if not isinstance(schema, Mapping):  # true and false are schemas too
            return "anything"
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choose.choice(schema["enum"])
        if branches := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(self._branch(branches, depth), depth + 1)
        return self._typed(schema, depth)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with $ref followed and allOf merged in."""
        for _ in range(100):
            if "$ref" in schema:
                rest = {name: part for name, part in schema.items() if name != "$ref"}
                schema = {**self._target(schema["$ref"]), **rest}
            elif "allOf" in schema:
                schema = _merged(schema)
            else:
                return schema
        raise ValueError(
            "the schema's $ref and allOf lead in a circle; give the recursion a type between"
        )

    def _target(self, reference: str) -> Mapping[str, Any]:
        node: Any = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node[int(name)] if isinstance(node, list) else node[name]
        result: Mapping[str, Any] = node
        return result

    def _branch(self, branches: Sequence[Any], depth: int) -> Any:
        if depth < DEPTH_BOUND:
            return self._choose.choice(branches)
        return min(branches, key=_weight)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type") or _implied_type(schema)
        if isinstance(kind, list):
            kind = self._choose.choice(kind) if depth < DEPTH_BOUND else min(kind, key=_type_weight)
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return self._choose.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", ())
        optional = depth < DEPTH_BOUND
        wanted = [
            name
            for name in properties
            if name in required or (optional and self._choose.random() < 0.5)
        ]
        result = {name: self.value(properties[name], depth + 1) for name in wanted}
        for name in required:  # named as required, yet described nowhere
            result.setdefault(name, "anything")
        return result

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        result = [self.value(part, depth + 1) for part in schema.get("prefixItems", ())]
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 3))
        length = least if depth >= DEPTH_BOUND else self._between(least, min(most, least + 2))
        unique = schema.get("uniqueItems", False)
        for _ in range(
            100 * length
        ):  # an array of few possible values may never be unique and long
            if len(result) >= length:
                break
            value = self.value(schema.get("items", {}), depth + 1)
            if not (unique and value in result):
                result.append(value)
        return result

    def _integer(self, schema: Mapping[str, Any]) -> int:
        step = int(schema.get("multipleOf", 1)) or 1
        low, high = _bounds(schema, 1)
        return step * self._between(-(-int(low) // step), int(high) // step)

    def _between(self, low: int, high: int) -> int:
        """Any from low to high; low where nothing lies between: a model answers to that too."""
        return self._choose.randint(low, max(low, high))

    def _number(self, schema: Mapping[str, Any]) -> float:
        if "multipleOf" in schema:
            step = float(schema["multipleOf"])
            low, high = _bounds(schema, step)
            return round(step * self._between(-int(-low // step), int(high // step)), 9)
        low, high = _bounds(schema, 1e-3)
        return min(high, max(low, round(self._choose.uniform(low, high), 3)))

    def _string(self, schema: Mapping[str, Any]) -> str:
        if "pattern" in schema:
            return next((text for text in _CANDIDATES if re.search(schema["pattern"], text)), "abc")
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = f"{self._choose.choice(self._words)} {self._choose.randrange(10_000)}"
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema.get("maxLength", 200)]


def _bounds(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    """Lowest and highest value; an exclusive bound is moved by a step."""
    low = schema.get("minimum")
    high = schema.get("maximum")
    if isinstance(bound := schema.get("exclusiveMinimum"), int | float):
        low = bound + step
    if isinstance(bound := schema.get("exclusiveMaximum"), int | float):
        high = bound - step
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    return low, low + 100 if high is None else high


def _implied_type(schema: Mapping[str, Any]) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "integer" if "minimum" in schema or "maximum" in schema else "string"


def _merged(schema: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {name: part for name, part in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        for name, value in part.items():
            if name == "properties":
                result[name] = {**result.get(name, {}), **value}
            elif name == "required":
                result[name] = [*result.get(name, ()), *value]
            else:
                result.setdefault(name, value)
    return result


def _weight(branch: Any) -> int:
    """How far a branch may still lead: a null ends at once, a reference may come back here."""
    if not isinstance(branch, Mapping):
        return 0
    if "$ref" in branch or "anyOf" in branch or "oneOf" in branch or "allOf" in branch:
        return 9
    kind = branch.get("type", "string")
    return min(map(_type_weight, kind)) if isinstance(kind, list) else _type_weight(kind)


def _type_weight(kind: str) -> int:
    return {"null": 0, "array": 2, "object": 3}.get(kind, 1)
