"""A request that does not fit, as parts: the longest piece of its data is halved until they do.

Parts are numbered like a heap: the halves of part n are 2n and 2n + 1, and 1 is the request that
is made over the parts' answers. So a part's number tells which piece of the text it is, whenever
and in whatever order the others were found to be too long.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from batchai.engine.flow import Flow, PartFailure, Piece
from batchai.engine.ways import Fingerprint
from batchai.prompts import (
    MOST_HALVINGS,
    Excerpt,
    Rendered,
    answers_on_parts,
    halves,
    halvings,
    longest,
    with_text,
)
from batchai.store.values import to_json

WHOLE = 1  # the part that asks over the answers to the others


@dataclass(frozen=True, slots=True)
class Division:
    """Which piece of a request's data is halved, and how often."""

    excerpt: Excerpt
    times: int


def division(
    flow: Flow, rendered: Rendered, part: int, excerpt: Excerpt | None, *, keeps: float
) -> Division | None:
    """How a request that should keep this share of its text is divided; None where it cannot be.

    excerpt: what the part is a part of, None of a request that was not divided yet.
    """
    if part == WHOLE and excerpt is not None:
        return None  # its text is the answers
    if excerpt is None:
        excerpt = longest(rendered, item=flow.item.row or {}, results=flow.results)
    times = None if excerpt is None else halvings(rendered, excerpt, keeps=keeps)
    if excerpt is None or times is None or _depth(max(part, 1)) + times > MOST_HALVINGS:
        return None
    return Division(excerpt, times)


def was_divided(known: Collection[tuple[str, int]], step: str, part: int) -> bool:
    """Whether there are parts of this one. known: steps and parts that an item has in the store.

    part: 0 is the request that was not divided yet.
    """
    if part == WHOLE:
        return False
    way = bin(max(part, WHOLE))
    return any(
        name == step and other > max(part, WHOLE) and bin(other).startswith(way)
        for name, other in known
    )


class Halves:
    """One request for each part of a text, then one over their answers. See `Way`.

    into_one: how answers come to one result: `ask` or `join`.
    """

    def __init__(
        self,
        whole: Rendered,
        fingerprint: Fingerprint,
        found: Division,
        *,
        into_one: str,
    ) -> None:
        self._whole = whole
        self._excerpt = found.excerpt
        self._fingerprint = fingerprint
        self.joins = into_one == "join"
        self._ready: list[int] = []
        self._open: set[int] = set()  # without an answer
        self._results: dict[int, Any] = {}
        self._result: Any = None
        self._is_done = False
        self.failure: PartFailure | None = None
        self.divide(WHOLE, found.times)

    def divide(self, part: int, times: int) -> None:
        """A part does not fit: its halves, or theirs, take its place."""
        self._open.discard(part)
        if self.failure is not None:
            return
        halved = range(part << times, (part + 1) << times)
        self._ready += halved
        self._open.update(halved)

    def next(self) -> Sequence[Piece]:
        """The parts, all at once; when they are answered, the request over the answers."""
        numbers, self._ready = self._ready, []
        return [self._piece(number) for number in numbers]

    def take(self, part: int, result: Any) -> None:
        """A part has its result."""
        self._open.discard(part)
        if part == WHOLE:
            self._result, self._is_done = result, True
            return
        self._results[part] = result
        if self._open or self.failure is not None:
            return
        if self.joins:
            self._result, self._is_done = joined(self._in_order()), True
        else:
            self._ready.append(WHOLE)
            self._open.add(WHOLE)

    def fail(self, part: int, outcome: str, detail: str) -> None:
        """A part failed: the others are finished, and kept."""
        self._open.discard(part)
        if self.failure is None:
            self.failure = PartFailure(outcome, f"{self.place(part)}: {detail}")

    @property
    def note(self) -> str:
        """What was done, for a person."""
        return f"{self._excerpt.field} was split to fit the context window"

    def place(self, part: int) -> str:
        """A part, for a person."""
        field = self._excerpt.field
        if part == WHOLE:
            return f"over the answers on the parts of {field}"
        share, of = part - (1 << _depth(part)) + 1, 1 << _depth(part)
        return f"part {share} of {of} of {field}"

    @property
    def is_over(self) -> bool:
        """Whether there is a result, or nothing is out after a failure."""
        return not self._open and (self._is_done or self.failure is not None)

    @property
    def result(self) -> Any:
        """What the parts' answers came to."""
        return self._result

    def _piece(self, part: int) -> Piece:
        """Of the request over the answers nothing more can be cut."""
        if part == WHOLE:
            texts = [one if isinstance(one, str) else to_json(one) for one in self._in_order()]
            text = answers_on_parts(texts)
        else:
            text = _part_of(self._excerpt.text, part)
        rendered = with_text(self._whole, self._excerpt, text)
        excerpt = Excerpt(self._excerpt.field, text)
        return Piece(part, rendered, self._fingerprint(rendered), excerpt=excerpt)

    def _in_order(self) -> list[Any]:
        """The parts' results in the order of the text: no part's number begins another's."""
        return [self._results[part] for part in sorted(self._results, key=bin)]


def joined(results: Sequence[Any]) -> Any:
    """Texts and lists one after the other, maps field by field."""
    given = [result for result in results if result is not None]
    match given[:1]:
        case [str()]:
            return "\n\n".join(given)
        case [list()]:
            return [one for result in given for one in result]
        case [dict()]:
            names = dict.fromkeys(name for result in given for name in result)
            return {n: joined([result.get(n) for result in given]) for n in names}
    return None


def _depth(part: int) -> int:
    """How often the text was halved for it."""
    return part.bit_length() - 1


def _part_of(text: str, part: int) -> str:
    """The way down to it: at each digit after the first the left half or the right."""
    for digit in bin(part)[3:]:
        text = halves(text)[int(digit)]
    return text
