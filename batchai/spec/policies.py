"""What follows an answer that is no result: `retry`, `fail`, growing, repairing, fixed values."""

from dataclasses import dataclass
from typing import Any

from batchai.domain import Outcome
from batchai.spec.document import Node, Scalar, Table, shown, wrong
from batchai.spec.kinds import Anything, Choice, JsonSchema, Kind, Reader, Whole
from batchai.spec.models import Fixed, Grow, Policy, Repair, Split
from batchai.spec.sections import Field, Or, Section


@dataclass(frozen=True, slots=True)
class FixedValues:
    """A map of result fields to values that stand in for an answer."""

    def read(self, node: Node, reader: Reader) -> dict[str, Any]:
        if not isinstance(node, Table) or not node.entries:
            raise wrong(node, f"must be a map of result fields to fixed values, not {shown(node)}")
        values: dict[str, Any] = Anything().read(node, reader)
        return values

    def schema(self) -> JsonSchema:
        return {"type": "object", "minProperties": 1}


@dataclass(frozen=True, slots=True)
class PolicyKind:
    """`retry`, `fail`, or the map that this outcome has a policy for."""

    mapped: Kind
    make: type[Grow] | type[Repair] | None = None  # None: the map holds fixed values
    example: str = ""

    def read(self, node: Node, reader: Reader) -> Policy | None:
        if isinstance(node, Scalar):
            if node.text == "retry":
                return "retry"
            if node.text == "fail":
                return "fail"
        if not isinstance(node, Table):
            raise wrong(node, f"must be retry, fail or {self.example}, not {shown(node)}")
        mistakes = len(reader.mistakes)
        values = self.mapped.read(node, reader)
        if len(reader.mistakes) > mistakes:
            return None
        return self.make(**values) if self.make is not None else Fixed(values=values)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"enum": ["retry", "fail"]}, self.mapped.schema()]}


# after which another model may do better; the first two are waited for where they are not named
_FALLBACK_OUTCOMES = (
    Outcome.RATE_LIMITED,
    Outcome.OVERLOADED,
    Outcome.TRUNCATED,
    Outcome.REFUSED,
    Outcome.EMPTY,
    Outcome.INVALID,
    Outcome.SERVER_ERROR,
    Outcome.CONNECTION_LOST,
    Outcome.TIMED_OUT,
    Outcome.MALFORMED,
    Outcome.REJECTED,
    Outcome.TOO_LONG,
)


@dataclass(frozen=True, slots=True)
class FallbackOutcome:
    """An outcome after which another model may be asked."""

    def read(self, node: Node, reader: Reader) -> Outcome:
        return Outcome(_OUTCOME.read(node, reader))

    def schema(self) -> JsonSchema:
        return _OUTCOME.schema()


_OUTCOME = Choice(tuple(outcome.value for outcome in _FALLBACK_OUTCOMES))

_SPLIT = Section(
    {
        "split": Field(
            Choice(("ask", "join")),
            "How the parts' answers come to one: ask once more over them, or join texts and lists.",
            is_required=True,
        )
    }
)


@dataclass(frozen=True, slots=True)
class TooLong:
    """What is done about a prompt that does not fit the model."""

    def read(self, node: Node, reader: Reader) -> str | Split:
        if isinstance(node, Table):
            given = _SPLIT.read(node, reader)
            return Split(into=given["split"]) if "split" in given else Split()
        word = _WORDS.read(node, reader)
        return Split() if word == "split" else word

    def schema(self) -> JsonSchema:
        return {"anyOf": [_WORDS.schema(), _SPLIT.schema()]}


_WORDS = Choice(("truncate", "split", "fail"))

ON_TOO_LONG = Field(
    TooLong(),
    "A prompt that does not fit the model: fail (default); truncate: its longest field is cut; "
    "split: that is asked in parts, and once more over their answers; {split: join}: these are "
    "put one after the other.",
)
ON_TRUNCATED = PolicyKind(
    Section(
        {
            "grow": Field(
                Whole(), "Asks again with a larger max_tokens, up to this.", is_required=True
            )
        }
    ),
    Grow,
    "{grow: 4096}",
)
ON_INVALID = PolicyKind(
    Section(
        {
            "repair": Field(
                Whole(0), "Asks again this often with the error as feedback.", is_required=True
            ),
            "then": Field(Or("fail", "fail", FixedValues()), "fail, or a map of fixed values."),
        }
    ),
    Repair,
    "{repair: 2, then: fail}",
)
ON_REFUSED = PolicyKind(FixedValues(), None, "a map of fixed values")
