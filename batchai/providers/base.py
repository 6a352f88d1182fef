"""What the engine asks of a provider. Provider JSON and SDK types never leave this room."""

from typing import Protocol

from batchai.domain import Reply, Request, Usage


class Provider(Protocol):
    """One account at one address. Open on the running loop, closed by `close`."""

    def encode(self, request: Request) -> bytes:
        """The exact bytes that `send` puts on the wire."""
        ...

    async def send(self, body: bytes, *, deadline_seconds: float) -> Reply:
        """Exactly one HTTP request; every failure is a Reply. Only CancelledError passes."""
        ...

    def counted_input_tokens(self, usage: Usage) -> int:
        """What of a usage counts against the account's input token limit."""
        ...

    async def close(self) -> None:
        """Close connections, and the server where the provider started one."""
        ...
