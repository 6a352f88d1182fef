"""An item's way through the steps, and through the parts of a step that sends several requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from batchai.domain import Outcome
from batchai.prompts import Excerpt, Rendered
from batchai.store.rows import PendingItem

_SHOWN_NOTES = 3
_ANSWERS = {
    Outcome.TOO_LONG.value,
    Outcome.DOUBTED.value,
}  # what stands is the model's all the same


@dataclass(frozen=True, slots=True)
class Piece:
    """A request that is a part of a step.

    condenses: it is the summary of a conversation. excerpt: what it holds of a text that was split.
    """

    part: int
    rendered: Rendered
    fingerprint: bytes
    condenses: bool = False
    excerpt: Excerpt | None = None


@dataclass(frozen=True, slots=True)
class PartFailure:
    """Why a step fails with one of its parts."""

    outcome: str
    detail: str


class Way(Protocol):
    """The parts of one step for one item: what may be sent now, and what they come to."""

    failure: PartFailure | None

    def next(self) -> Sequence[Piece]:
        """Requests that may be sent now and were not handed out before."""

    def take(self, part: int, result: Any) -> None:
        """A part that was handed out has its result."""

    def fail(self, part: int, outcome: str, detail: str) -> None:
        """A part that was handed out has failed."""

    def place(self, part: int) -> str:
        """What a person calls a part: `turn 2 of 4`."""

    @property
    def is_over(self) -> bool:
        """Nothing is out, and nothing more will be handed out."""

    @property
    def result(self) -> Any:
        """What the parts came to, once it is over without a failure."""


@dataclass(slots=True)
class Flow:
    """An item that the pool has in hand. results: of the steps it has passed; at: the next one.

    way, fingerprint: of the step that it is in, where that has parts. notes: what is to be known of
    its parts' results, each with the outcome that led to it.
    """

    item: PendingItem
    results: dict[str, Any] = field(default_factory=dict)
    at: int = 0
    way: Way | None = None
    fingerprint: bytes = b""
    notes: list[tuple[str, str]] = field(default_factory=list)

    def enter(self, way: Way | None, fingerprint: bytes) -> None:
        """Begin a step."""
        self.way, self.fingerprint = way, fingerprint
        self.notes.clear()

    def note(self, part: int, outcome: str, text: str) -> None:
        """Remember what is to be known of a part's result, if anything is."""
        if text and self.way is not None:
            self.notes.append((outcome, f"{self.way.place(part)}: {text}"))

    @property
    def noted(self) -> tuple[str, str]:
        """An outcome and a note for the step as a whole: where fixed values are among what it came
        to, theirs, for it is no answer then."""
        if not self.notes:
            return Outcome.SUCCEEDED.value, ""
        more = len(self.notes) - _SHOWN_NOTES
        texts = [text for _, text in self.notes[:_SHOWN_NOTES]]
        outcomes = [outcome for outcome, _ in self.notes]
        fixed = (outcome for outcome in outcomes if outcome not in _ANSWERS)
        return next(fixed, outcomes[0]), "; ".join(
            [*texts, f"and {more} more"] if more > 0 else texts
        )
