"""A request made to fit: its longest piece of data is cut, or halved until its parts fit."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchai.prompts.rendering import Rendered
from batchai.templates import cut_within

MOST_HALVINGS = 6  # that is 64 parts; beyond, a chapter at a time is meant: `foreach`


_LEEWAY = 0.1  # of a halving: what fits is an estimate, and parts that do not are halved again


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A piece of data that stands in a request. field: what templates call it: `item.text`."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Shortened:
    """A request whose longest piece of data was cut: `field` (`item.text`) to a share of it."""

    rendered: Rendered
    field: str
    share: float

    @property
    def note(self) -> str:
        """What was done, for a person."""
        return f"{self.field} was cut to its first {self.share:.0%} to fit the context window"


def longest(
    rendered: Rendered, *, item: Mapping[str, Any], results: Mapping[str, Any]
) -> Excerpt | None:
    """The longest piece of data in a request; None where there is none.

    Data is found where it stands in the request as it is, of the item or of earlier steps' results.
    """
    found = max(
        (
            (len(text), name, text)
            for name, text in (*_texts("item", item), *_texts("steps", results))
            if text and _times(rendered, text)
        ),
        default=None,
    )
    return None if found is None else Excerpt(*found[1:])


def shortened(
    rendered: Rendered, *, keeps: float, item: Mapping[str, Any], results: Mapping[str, Any]
) -> Shortened | None:
    """The request with about this share of its text; None where no piece of data can give it."""
    found = longest(rendered, item=item, results=results)
    if found is None or (kept := _room(rendered, found, keeps)) <= 0:
        return None
    cut = with_text(rendered, found, found.text[:kept])
    return Shortened(cut, found.field, kept / len(found.text))


def halvings(rendered: Rendered, excerpt: Excerpt, *, keeps: float) -> int | None:
    """How often the piece of data must be halved for requests with this share of the text; None
    where even many parts would not do."""
    room = _room(rendered, excerpt, keeps)
    if room <= 0:
        return None
    times = max(1, math.ceil(math.log2(len(excerpt.text) / room) - _LEEWAY))
    return times if times <= MOST_HALVINGS else None


def halves(text: str) -> tuple[str, str]:
    """A text as two of about the same length."""
    at = cut_within(text, len(text) * 2 // 5, len(text) // 2)
    return text[:at], text[at:]


def with_text(rendered: Rendered, excerpt: Excerpt, text: str) -> Rendered:
    """The request with another text in place of a piece of its data."""
    old = excerpt.text
    messages = tuple(replace(m, content=m.content.replace(old, text)) for m in rendered.messages)
    system = None if rendered.system is None else rendered.system.replace(old, text)
    return Rendered(system, messages)


def answers_on_parts(answers: Sequence[str]) -> str:
    """What stands in the place of a text that was read in parts."""
    parts = "\n\n".join(
        f"Part {number} of {len(answers)}:\n{answer}" for number, answer in enumerate(answers, 1)
    )
    return (
        "(The text was too long to be read at once. This is what was answered on each of its "
        f"parts, in order; answer now for the whole of it.)\n\n{parts}"
    )


def _room(rendered: Rendered, excerpt: Excerpt, keeps: float) -> int:
    """How many characters of it may stay, for the request to keep this share of its text."""
    times = max(1, _times(rendered, excerpt.text))
    return len(excerpt.text) - round((1 - keeps) * rendered.chars / times)


def _times(rendered: Rendered, text: str) -> int:
    texts = (rendered.system or "", *(message.content for message in rendered.messages))
    return sum(one.count(text) for one in texts) if text else 0


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text within a value, with what templates call it; without the white space around it."""
    match value:
        case str():
            yield name, value.strip()
        case Mapping():
            for key, one in value.items():
                yield from _texts(f"{name}.{key}", one)
        case list() | tuple():
            for index, one in enumerate(value):
                yield from _texts(f"{name}[{index}]", one)
