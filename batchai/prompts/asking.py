"""What a step asks for an item: nothing, one request, one for each element, or turn after turn."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batchai.errors import TemplateError
from batchai.prompts.rendering import FINGERPRINT_BYTES, Prompts, Rendered
from batchai.spec.models import Step
from batchai.spec.texts import prompt_texts
from batchai.templates import compile_expression

_SKIPPED = b"skipped".ljust(FINGERPRINT_BYTES, b"-")  # instead of the hash of a request
_MOST_PARTS = 100_000


class Kind(StrEnum):
    """How a step's requests belong together."""

    ONE = "one"  # the step is its one request
    EACH = "each"  # one for each element, in any order
    TURNS = "turns"  # one after the other, each with the answers to those before


@dataclass(frozen=True, slots=True)
class Asked:
    """The requests of a step for one item; of turns, each with the user's turn as its last message.

    fingerprint: of the step as a whole. is_skipped: the step's `if:` does not hold.
    """

    requests: tuple[Rendered, ...]
    fingerprint: bytes
    is_skipped: bool = False


class Asking:
    """The templates and expressions of one step. place: of the step in the job file.

    value_of_group: what `reduce.by` groups an item by, a function of `Prompts.variables`.
    written: bytes of its templates.
    """

    def __init__(self, step: Step, prompts: Prompts, *, place: str) -> None:
        self.prompts = prompts
        self.kind = _kind(step)
        self.written = sum(
            len(text.encode("utf-8", "replace")) for text in prompt_texts(step.prompt)
        )
        self._place = place
        self._condition = _expression(step.condition, f"{place}.if")
        self._foreach = _expression(step.foreach, f"{place}.foreach")
        by = step.reduction.by if step.reduction else None
        self.value_of_group = _expression(by, f"{place}.reduce.by")

    def of(self, fields: Mapping[str, Any], results: Mapping[str, Any]) -> Asked:
        """What is asked for an item, after earlier steps gave `results`. Raises TemplateError."""
        prompts = self.prompts
        variables = prompts.variables(fields, results)
        if self._condition is not None and not self._condition(variables):
            return Asked((), _SKIPPED + prompts.mark, is_skipped=True)
        if self.kind is Kind.ONE:
            rendered = prompts.fill(variables)
            return Asked((rendered,), prompts.fingerprint(rendered))
        is_each = self.kind is Kind.EACH
        requests = self._each(variables) if is_each else prompts.turns(variables)
        return Asked(requests, self._whole(requests))

    def have_made(self, fingerprint: bytes | None) -> bool:
        """Whether it is from just this step as it is, so that equal data asks the same."""
        return self.prompts.have_made(fingerprint)

    def _each(self, variables: dict[str, Any]) -> tuple[Rendered, ...]:
        assert self._foreach is not None
        elements = self._foreach(variables)
        place = f"{self._place}.foreach"
        if isinstance(elements, str | bytes | Mapping) or not isinstance(elements, Sequence):
            raise TemplateError(f"{place}: must give a list, not {_what(elements)}")
        if len(elements) > _MOST_PARTS:
            raise TemplateError(
                f"{place}: gives {len(elements):,} elements, beyond {_MOST_PARTS:,}"
            )
        return tuple(
            self.prompts.fill({**variables, "each": element, "each_index": index})
            for index, element in enumerate(elements)
        )

    def _whole(self, requests: Sequence[Rendered]) -> bytes:
        digest = hashlib.sha256()
        for rendered in requests:
            digest.update(self.prompts.fingerprint(rendered)[:FINGERPRINT_BYTES])
        return digest.digest()[:FINGERPRINT_BYTES] + self.prompts.mark


def _kind(step: Step) -> Kind:
    if step.prompt.turns is not None:
        return Kind.TURNS
    return Kind.ONE if step.foreach is None else Kind.EACH


def _expression(source: str | None, place: str) -> Any:
    return None if source is None else compile_expression(source, place=place)


def _what(value: Any) -> str:
    names = {str: "text", dict: "a map", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)
