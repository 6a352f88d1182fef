"""What a plain word of YAML means here, and which words would mean something else elsewhere.

YAML 1.1 makes False of `NO`, 10 of `012` and 750 of `12:30`, YAML 1.2 makes a number of `1e3`. Only
what every reader of YAML understands alike is taken; the rest is refused with the remedy.
"""

import re
from contextlib import suppress

import yaml

from batchai.errors import SpecError
from batchai.spec.document import Listing, Node, Scalar, Table, wrong

WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
DECIMAL = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)")
_BOOLEANS = {
    word: value
    for value in (True, False)
    for word in (str(value), str(value).lower(), str(value).upper())
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_YAML_1_2_NUMBER = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+"
)
_COMPUTED = ("bool", "int", "float")


def json_value(node: Node) -> object:
    """A node as JSON: text, numbers, bool, None, lists, dicts; raises SpecError on surprises."""
    match node:
        case Table():
            return {name: json_value(entry) for name, entry in node.entries.items()}
        case Listing():
            return [json_value(item) for item in node.items]
        case Scalar():
            return scalar_value(node)


def scalar_value(node: Scalar) -> str | int | float | bool | None:
    """The value of a quoted or plain scalar; raises SpecError where readers of YAML disagree."""
    text = node.text
    if not node.is_plain:
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if WHOLE.fullmatch(text):
        return _whole(node)
    if DECIMAL.fullmatch(text):
        return float(text)
    meaning = _other_meaning(text)
    if meaning:
        raise wrong(node, f"YAML reads an unquoted {text} as {meaning}: {_remedy(text)}")
    return text


def text_value(node: Node, what: str = "text") -> str:
    """The text of a scalar; raises SpecError where an unquoted word is something else to YAML."""
    if not isinstance(node, Scalar):
        raise wrong(node, f"must be {what}, not {'a map' if isinstance(node, Table) else 'a list'}")
    value = scalar_value(node)
    if isinstance(value, str):
        return value
    if value is None:
        raise wrong(node, f"must be {what}, not empty: give a value or leave the field out")
    kind = "true or false" if isinstance(value, bool) else "a number"
    raise wrong(
        node,
        f'must be {what}, and YAML reads an unquoted {node.text} as {kind}: write "{node.text}"',
    )


def written(node: Node) -> str:
    """The text of a scalar as it stands in the file; empty for maps and lists."""
    return node.text if isinstance(node, Scalar) else ""


def is_plain(node: Node, form: re.Pattern[str]) -> bool:
    """Whether a node is an unquoted word of a certain form."""
    return isinstance(node, Scalar) and node.is_plain and bool(form.fullmatch(node.text))


def native(node: Node) -> object:
    """The value of a scalar; None for maps, lists and words that YAML would surprise with."""
    if not isinstance(node, Scalar):
        return None
    try:
        return scalar_value(node)
    except SpecError:
        return None


def _whole(node: Scalar) -> int:
    if len(node.text) > 30:
        raise wrong(node, "is too large a number: put quotes around it if it is text")
    return int(node.text)


def _other_meaning(text: str) -> str:
    """What YAML 1.1 or 1.2 would make of a word that is text by our rules; empty for nothing."""
    for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            return _computed(text, tag.rpartition(":")[2])
    return "a number" if _YAML_1_2_NUMBER.fullmatch(text) else ""


def _computed(text: str, kind: str) -> str:
    if kind in _COMPUTED and len(text) <= 20:
        with suppress(ValueError):  # `0b_` has the look of a number only
            return str(yaml.safe_load(text)).lower()
    return f"a {kind}"


def _remedy(text: str) -> str:
    if text[0].isdigit() or text[0] in "+-.":
        return f'write "{text}" for the text, or a plain number such as 8 or 0.5'
    return f'write "{text}"'
