"""A request made to fit: its longest piece of data is cut."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchai.prompts.rendering import Rendered


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


def shortened(
    rendered: Rendered, *, keeps: float, item: Mapping[str, Any], results: Mapping[str, Any]
) -> Shortened | None:
    """The request with about this share of its text; None where no piece of data can give it.

    Data is found where it stands in the request as it is, of the item or of earlier steps' results.
    """
    texts = [rendered.system or "", *(message.content for message in rendered.messages)]
    found = max(
        (
            (len(text), times, name, text)
            for name, text in (*_texts("item", item), *_texts("steps", results))
            if text and (times := sum(one.count(text) for one in texts))
        ),
        default=None,
    )
    if found is None:
        return None
    length, times, name, text = found
    kept = length - round((1 - keeps) * rendered.chars / times)
    if kept <= 0:
        return None
    cut = text[:kept]
    messages = tuple(replace(m, content=m.content.replace(text, cut)) for m in rendered.messages)
    system = None if rendered.system is None else rendered.system.replace(text, cut)
    return Shortened(Rendered(system, messages), name, kept / length)


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
