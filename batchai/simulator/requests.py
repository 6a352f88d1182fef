"""A request as the simulator understands it, whichever protocol it came in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SimRequest:
    """One request for an answer.

    prompt: the text of all turns but the system's, joined by blank lines. attempt: 1 for the first
    arrival of this system and prompt. sequence: 0-based arrival index. body: the JSON as it came,
    {} if it was none. streams: whether the answer is to come as server-sent events.
    """

    provider: str
    model: str
    prompt: str
    system: str | None
    max_tokens: int | None
    schema: Mapping[str, Any] | None
    stop: tuple[str, ...]
    body: Mapping[str, Any]
    turns: int = 1
    attempt: int = 1
    sequence: int = 0
    streams: bool = False
