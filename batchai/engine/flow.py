"""An item's way through the steps, and through the parts of a step that sends several requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from batchai.prompts import Rendered
from batchai.store.rows import PendingItem


@dataclass(frozen=True, slots=True)
class Piece:
    """A request that is a part of a step. condenses: it is the summary of a conversation."""

    part: int
    rendered: Rendered
    fingerprint: bytes
    condenses: bool = False


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

    @property
    def is_over(self) -> bool:
        """Nothing is out, and nothing more will be handed out."""

    @property
    def result(self) -> Any:
        """What the parts came to, once it is over without a failure."""


@dataclass(slots=True)
class Flow:
    """An item that the pool has in hand. results: of the steps it has passed; at: the next one.

    way, fingerprint: of the step that it is in, where that has parts.
    """

    item: PendingItem
    results: dict[str, Any] = field(default_factory=dict)
    at: int = 0
    way: Way | None = None
    fingerprint: bytes = b""
