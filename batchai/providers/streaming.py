"""A streamed answer: server-sent events, folded into what an unstreamed request would have got.

So one reader serves both ways. Event format: WHATWG HTML, "Server-sent events".
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from batchai.providers.failures import ApiError, error_of
from batchai.schemas import safe_text

_DONE = b"[DONE]"  # OpenAI's last event


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The longest that a streamed answer may take.

    total_seconds: as a whole. first_seconds: until it begins (a model may think in silence).
    idle_seconds: from one piece of it to the next; signs of life without content do not count.
    """

    total_seconds: float
    first_seconds: float
    idle_seconds: float


class Fold(Protocol):
    """Puts one provider's events together."""

    def take(self, event: dict[str, Any]) -> str | None:
        """Take an event in; its text ("" for content that is none), None if it is no content."""
        ...

    def answer(self) -> dict[str, Any] | None:
        """What an unstreamed request would have got; None while the end has not been seen."""
        ...


class Listener:
    """Takes in the pieces of one answer as they arrive.

    on_text: told each piece of text. on_progress: called when any content arrives.
    """

    def __init__(
        self, fold: Fold, *, on_text: Callable[[str], None], on_progress: Callable[[], None]
    ) -> None:
        self.error: ApiError | None = None
        self._fold = fold
        self._on_text = on_text
        self._on_progress = on_progress
        self._events = _Events()
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "".join(self._texts)

    @property
    def answer(self) -> dict[str, Any] | None:
        """The whole answer; None while it is not whole."""
        return self._fold.answer()

    def take(self, chunk: bytes) -> None:
        """Take in some bytes of the body; what is no JSON object among the events is passed over.

        A stream that is damaged so does not reach its end, and is told by that.
        """
        for data in self._events.feed(chunk):
            event = _object(data)
            if event is None:
                continue
            self.error = self.error or error_of(event)
            text = self._fold.take(event)
            if text is None:
                continue
            self._on_progress()
            if text:
                self._texts.append(safe_text(text))
                self._on_text(self._texts[-1])


class _Events:
    """Bytes → the data of each event. Lines end with LF or CR LF, as both providers send them."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []


def _object(data: bytes) -> dict[str, Any] | None:
    if data == _DONE:
        return None
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:  # lone surrogates, which orjson refuses, were paid for too
        try:
            event = json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
    return event if isinstance(event, dict) else None
