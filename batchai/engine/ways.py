"""The ways of steps that send several requests: over the elements of a list, and turn after turn.

A part's number is the same on every launch, so that what was answered before is found again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from batchai.domain import Message
from batchai.engine.flow import PartFailure, Piece
from batchai.prompts import Asked, Rendered
from batchai.store.values import to_json

Fingerprint = Callable[[Rendered], bytes]

_CONDENSE = (
    "You condense conversations. Write down, in the language of the conversation, everything "
    "that its next turns may need: facts, names, numbers, decisions, and what is still open. "
    "Answer with nothing but the summary."
)
_SO_FAR = "Summary of the conversation so far:"


class Fan:
    """One request for each element of a list; the result is the list of results, in its order."""

    def __init__(self, asked: Asked, fingerprint: Fingerprint) -> None:
        self._requests = asked.requests
        self._fingerprint = fingerprint
        self._results: list[Any] = [None] * len(asked.requests)
        self._left = len(asked.requests)
        self._is_out = False
        self.failure: PartFailure | None = None

    def next(self) -> Sequence[Piece]:
        """All of them, at once."""
        if self._is_out:
            return ()
        self._is_out = True
        return [
            Piece(number, rendered, self._fingerprint(rendered))
            for number, rendered in enumerate(self._requests, 1)
        ]

    def take(self, part: int, result: Any) -> None:
        """An element's result."""
        self._results[part - 1] = result
        self._left -= 1

    def fail(self, part: int, outcome: str, detail: str) -> None:
        """An element failed: the others are finished, and kept."""
        self._left -= 1
        if self.failure is None:
            self.failure = PartFailure(outcome, f"{self.place(part)}: {detail}")

    def place(self, part: int) -> str:
        """An element, for a person."""
        return f"part {part} of {len(self._requests)}"

    @property
    def is_over(self) -> bool:
        """Whether each has come to its end."""
        return self._left == 0

    @property
    def result(self) -> list[Any]:
        """The results in the order of the elements."""
        return self._results


class Talk:
    """A conversation: one turn after the other, each with what was said before it.

    Turn n is part 2n; the summary that is made before it, if any, is part 2n − 1. The result is
    the transcript. condense: the fingerprint of a summary's request; None: nothing is condensed.
    """

    def __init__(
        self,
        asked: Asked,
        fingerprint: Fingerprint,
        *,
        condense: Fingerprint | None = None,
        after: int = 0,
    ) -> None:
        self._turns = asked.requests
        self._fingerprint = fingerprint
        self._condense = condense
        self._after = after
        self._turn = 0
        self._said: list[Message] = []  # what is sent along in full
        self._summary = ""
        self._transcript: list[dict[str, Any]] = []
        self._out = 0
        self.failure: PartFailure | None = None

    def next(self) -> Sequence[Piece]:
        """The next turn, or the summary that it needs."""
        if self._out or self.is_over:
            return ()
        number = self._turn + 1
        if self._condense is not None and len(self._said) >= 2 * self._after:
            rendered = self._condensing()
            self._out = 2 * number - 1
            return [Piece(self._out, rendered, self._condense(rendered), condenses=True)]
        rendered = self._speaking()
        self._out = 2 * number
        return [Piece(self._out, rendered, self._fingerprint(rendered))]

    def take(self, part: int, result: Any) -> None:
        """An answer, or a summary."""
        self._out = 0
        if part % 2:
            self._summary, self._said = str(result), self._said[-2:]
            return
        asked = self._turns[self._turn].messages[-1]
        answer = result if isinstance(result, str) else to_json(result)
        self._said += [asked, Message("assistant", answer)]
        self._transcript += [
            {"role": "user", "content": asked.content},
            {"role": "assistant", "content": result},
        ]
        self._turn += 1

    def fail(self, part: int, outcome: str, detail: str) -> None:
        """A turn failed: the conversation cannot go on."""
        self._out = 0
        self.failure = PartFailure(outcome, f"{self.place(part)}: {detail}")

    def place(self, part: int) -> str:
        """A turn, for a person."""
        what = "the summary before turn" if part % 2 else "turn"
        return f"{what} {(part + 1) // 2} of {len(self._turns)}"

    @property
    def is_over(self) -> bool:
        """Whether the last turn was answered, or one failed."""
        return self.failure is not None or self._turn == len(self._turns)

    @property
    def result(self) -> list[dict[str, Any]]:
        """The transcript: role and content of each turn."""
        return self._transcript

    def _speaking(self) -> Rendered:
        turn = self._turns[self._turn]
        system = turn.system
        if self._summary:
            system = "\n\n".join(filter(None, (system, f"{_SO_FAR}\n{self._summary}")))
        return Rendered(system, (*turn.messages[:-1], *self._said, turn.messages[-1]))

    def _condensing(self) -> Rendered:
        texts = [f"{_SO_FAR}\n{self._summary}"] if self._summary else []
        texts += [f"{said.role}: {said.content}" for said in self._said[:-2]]
        return Rendered(_CONDENSE, (Message("user", "\n\n".join(texts)),))
