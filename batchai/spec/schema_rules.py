"""What is demanded of a JSON Schema: valid, of a known draft, no references to elsewhere."""

from collections.abc import Iterator
from typing import Any

from batchai.errors import SpecError
from batchai.spec.sections import nearest

MAX_NESTING = 50

# the keywords of drafts 4 to 2020-12: a mistyped one would be ignored without a word
_APPLICATORS = {
    "properties": "map", "patternProperties": "map", "$defs": "map", "definitions": "map",
    "dependentSchemas": "map", "allOf": "list", "anyOf": "list", "oneOf": "list",
    "prefixItems": "list", "items": "one", "additionalItems": "one", "additionalProperties": "one",
    "not": "one", "if": "one", "then": "one", "else": "one", "contains": "one",
    "propertyNames": "one", "unevaluatedItems": "one", "unevaluatedProperties": "one",
}  # fmt: skip
# of drafts 4 to 2020-12; a mistyped one would be ignored without a word
KEYWORDS = frozenset(_APPLICATORS) | {
    "$schema", "$id", "id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef",
    "$recursiveAnchor", "$comment", "type", "enum", "const", "dependentRequired", "dependencies",
    "minContains", "maxContains", "multipleOf", "maximum", "exclusiveMaximum", "minimum",
    "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems",
    "maxProperties", "minProperties", "required", "title", "description", "default", "deprecated",
    "readOnly", "writeOnly", "examples", "format", "contentEncoding", "contentMediaType",
    "contentSchema",
}  # fmt: skip
_DRAFTS = tuple(
    f"{scheme}://json-schema.org/{draft}/schema"
    for scheme in ("https", "http")
    for draft in ("draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12")
)


def check_json_schema(schema: dict[str, Any], place: str) -> None:
    """Raises SpecError, with the path within the schema, unless it can be used offline."""
    for path, name, value in _members(schema, ()):
        if name in ("$ref", "$dynamicRef", "$recursiveRef") and not str(value).startswith("#"):
            raise SpecError(
                f"{place}{_dotted(path)}: must stay in this schema (#/$defs/…): nothing is fetched"
            )
        if name == "$schema" and str(value).rstrip("#") not in _DRAFTS:
            raise SpecError(f"{place}{_dotted(path)}: is no known draft: leave $schema out")
    _check_with_validator(schema, place)


def check_keywords(schema: Any, place: str) -> None:
    """Raises SpecError for a keyword that JSON Schema does not know, in any subschema."""
    if not isinstance(schema, dict):
        return
    for name, value in schema.items():
        if name not in KEYWORDS:
            hint = (
                ""
                if "properties" in schema
                else "; a result field called type needs {type: object, properties: …}"
            )
            raise SpecError(
                f"{place}.{name}: is no keyword of JSON Schema; {nearest(name, KEYWORDS)}{hint}"
            )
        for path, subschema in _subschemas(name, value):
            check_keywords(subschema, f"{place}.{name}{path}")


def _subschemas(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    match _APPLICATORS.get(name), value:
        case "map", dict():
            yield from ((f".{key}", member) for key, member in value.items())
        case "list", list():
            yield from ((f"[{index}]", member) for index, member in enumerate(value))
        case "one", dict():
            yield "", value


def _check_with_validator(schema: dict[str, Any], place: str) -> None:
    import jsonschema_rs  # here, for a job without a schema does not need it

    try:
        jsonschema_rs.meta.validate(schema)
        jsonschema_rs.validator_for(schema)
    except jsonschema_rs.ValidationError as error:
        where = _dotted(tuple(error.instance_path))
        raise SpecError(f"{place}{where}: is not JSON Schema: {error.message}") from error
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise SpecError(
            f"{place}: is not JSON Schema: {str(error).partition(chr(10))[0]}"
        ) from error


def _members(
    value: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str, Any]]:
    if len(path) > MAX_NESTING:
        raise SpecError(f"the schema is nested deeper than {MAX_NESTING} levels")
    if isinstance(value, dict):
        for name, member in value.items():
            yield (*path, name), name, member
            yield from _members(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _members(member, (*path, index))


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
