"""What the engine asks of a provider. Provider JSON and SDK types never leave this room."""

from collections.abc import Callable
from typing import Protocol

from batchai.domain import Reply, Request, Usage
from batchai.providers.streaming import Deadlines


class Provider(Protocol):
    """One account at one address. Open on the running loop, closed by `close`."""

    def encode(self, request: Request) -> bytes:
        """The exact bytes that `send` puts on the wire."""
        ...

    async def send(self, body: bytes, *, deadline_seconds: float) -> Reply:
        """Exactly one HTTP request; every failure is a Reply. Only CancelledError passes."""
        ...

    async def stream(
        self, body: bytes, *, deadlines: Deadlines, on_text: Callable[[str], None]
    ) -> Reply:
        """The same for a request that `is_streamed`: `on_text` gets what is written, as it comes.

        One that is cut off is a Reply with the text until then.
        """
        ...

    def counted_input_tokens(self, usage: Usage) -> int:
        """What of a usage counts against the account's input token limit."""
        ...

    def reconnect(self) -> None:
        """Send what follows over new connections; what is in flight keeps its own."""
        ...

    async def close(self) -> None:
        """Close connections, and the server where the provider started one."""
        ...
