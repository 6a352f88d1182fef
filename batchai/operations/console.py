"""What an operation says and asks; the command line and notebooks bring their own."""

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
