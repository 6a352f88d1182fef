"""What a protocol is, and the values that protocols turn into JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from batchai.domain import Usage
from batchai.simulator.caching import Point
from batchai.simulator.faults import Fault
from batchai.simulator.requests import SimRequest
from batchai.simulator.windows import Charge, Excess, Standing


class Finish(StrEnum):
    """Why the model stopped."""

    NORMAL = "normal"
    STOP_SEQUENCE = "stop_sequence"
    MAX_TOKENS = "max_tokens"
    CONTEXT = "context"
    REFUSED = "refused"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote. fault: the shape of the reply, where it is not the usual one.

    service_tier: None is the standard one.
    """

    text: str
    finish: Finish
    usage: Usage
    model: str
    stop_sequence: str | None = None
    fault: Fault | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """An error in a provider's words."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None

    def saying(self, message: str, *, param: str | None = None) -> "ErrorShape":
        """The same error with another message."""
        return replace(self, message=message, param=param)


class Dialect(Protocol):
    """One provider's protocol: JSON in, JSON and headers out. Pure: nothing is remembered."""

    name: str
    errors: Mapping[Fault, ErrorShape]

    def read(self, body: Mapping[str, Any]) -> SimRequest:
        """What the body asks for; what is missing or odd is left empty."""
        ...

    def objection(self, request: SimRequest, headers: Mapping[str, str]) -> str | None:
        """Why the provider answers 400 to the request, or None; header names are in lower case."""
        ...

    def schema_objection(self, request: SimRequest) -> str | None:
        """Why the provider answers 400 to the request's schema, or None."""
        ...

    def cache_points(self, request: SimRequest, *, bytes_per_token: float) -> list[Point]:
        """The beginnings of the prompt that the provider caches, the shortest first."""
        ...

    def reply(self, answer: Answer, identity: str) -> dict[str, Any]:
        """The JSON of an answer; identity makes its id."""
        ...

    def events(self, reply: Mapping[str, Any], request: SimRequest) -> list[bytes]:
        """The reply as server-sent events, for a request that streams."""
        ...

    def broken_off(self, events: list[bytes], request_id: str) -> list[bytes]:
        """The first half of these events, then the provider's error in the stream."""
        ...

    def error(self, shape: ErrorShape, request_id: str) -> dict[str, Any]:
        """The JSON of an error."""
        ...

    def excess(self, excess: Excess) -> ErrorShape:
        """The 429 of a request over the account's limits."""
        ...

    def charge(self, request: SimRequest, usage: Usage) -> Charge:
        """What a request takes from the account's windows on arrival; usage: of its input."""
        ...

    def produced(self, usage: Usage) -> Charge:
        """What an answer takes from the windows when it is written."""
        ...

    def headers(self, request_id: str, standings: Sequence[Standing]) -> dict[str, str]:
        """The headers of every reply."""
        ...

    def retry_after(self, seconds: float) -> dict[str, str]:
        """The headers that ask a client to wait."""
        ...


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or blocks, those without text as they are."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(_block_text(block) for block in content)


def _block_text(block: Any) -> str:
    if isinstance(block, dict) and isinstance(block.get("text"), str):
        return str(block["text"])
    return str(block)


def turns_of(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The well-formed messages of a body."""
    messages = body.get("messages")
    return (
        [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    )


def strings_of(value: Any) -> tuple[str, ...]:
    """The strings of a list, or the one string."""
    if isinstance(value, str):
        return (value,)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def number_of(value: Any) -> int | None:
    """The value if it is an integer."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def format_seconds(seconds: float) -> str:
    """Seconds for a Retry-After header: rounded up, so that who obeys is not too early."""
    milliseconds = -int(-seconds * 1000 // 1)
    return str(milliseconds // 1000) if milliseconds % 1000 == 0 else f"{milliseconds / 1000:.3f}"
