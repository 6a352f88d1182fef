"""What an operation says and asks; the command line and notebooks bring their own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from batchai.engine.progress import Progress


class Console(Protocol):
    """The person at the other end, if there is one."""

    def say(self, line: str) -> None:
        """One line of news."""
        ...

    def ask(self, question: str) -> bool | None:
        """Yes or no; None where there is nobody to ask."""
        ...

    def show(self, progress: Progress, waits_for: str | None) -> None:
        """How far the launch is; called after every change."""
        ...


class Silence:
    """Nobody is there."""

    def say(self, line: str) -> None:
        """Say nothing."""

    def ask(self, question: str) -> bool | None:  # noqa: ARG002
        """Nobody answers."""
        return None

    def show(self, progress: Progress, waits_for: str | None) -> None:
        """Show nothing."""


class StopButton:
    """Ends a launch from another thread: the first press drains, the second leaves at once."""

    def __init__(self) -> None:
        self._connected: tuple[asyncio.AbstractEventLoop, Callable[[], None]] | None = None

    def connect(self, action: Callable[[], None]) -> None:
        """Call `action` on the running loop at each press."""
        self._connected = asyncio.get_running_loop(), action

    def press(self) -> None:
        """End the launch; without one that runs nothing happens."""
        if self._connected is not None:
            loop, action = self._connected
            with suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(action)
