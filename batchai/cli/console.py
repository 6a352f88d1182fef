"""The terminal during a launch: a bar on stderr, or plain lines where there is no terminal."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from batchai.engine.progress import Progress
from batchai.reports.words import printable, usd
from batchai.secrets import RedactingFilter, Redactor, known_keys

_LINE_SECONDS = 10.0  # between plain lines


class Terminal:
    """Says, asks and shows on stderr; answers of the program go to stdout."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._last_line = time.monotonic()
        self._last_text = ""
        self._writes: str | None = None  # the key of the item whose answer is being written

    def say(self, line: str) -> None:
        """One line of news, above the bar."""
        tqdm.write(line, file=sys.stderr)

    def ask(self, question: str) -> bool | None:
        """Yes or no from a person; None where nobody sits there."""
        if not (sys.stdin.isatty() and self._is_terminal):
            return None
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def show(self, progress: Progress, waits_for: str | None) -> None:
        """Move the bar, or print a line now and then; nothing amid an answer."""
        if self._writes is not None:
            return
        if self._is_terminal:
            self._move_bar(progress, waits_for)
        elif time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            self._print_line(progress, waits_for)

    def write(self, key: str, text: str) -> None:
        """A piece of the answer to an item; the first of an item's begins under its key."""
        if key != self._writes:
            self._end_writing()
            self.say(f"── {printable(key)} ──")
            self._writes = key
        sys.stderr.write(printable(text))
        sys.stderr.flush()

    def _end_writing(self) -> None:
        if self._writes is not None:
            sys.stderr.write("\n")
            self._writes = None

    def close(self) -> None:
        """Leave the bar as it is."""
        self._end_writing()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _move_bar(self, progress: Progress, waits_for: str | None) -> None:
        if self._bar is None:
            if not progress.to_send:
                return
            self._bar = _new_bar()
        bar = self._bar
        bar.total = max(progress.to_send, progress.settled)
        bar.set_postfix_str(self._words(progress, waits_for), refresh=False)
        bar.update(progress.settled - bar.n)
        bar.refresh()

    def _print_line(self, progress: Progress, waits_for: str | None) -> None:
        words = self._words(progress, waits_for)
        total = f"{progress.to_send:,}" + ("" if progress.is_counted else " and counting")
        text = f"{progress.settled:,} of {total}" + (f", {words}" if words else "")
        if text != self._last_text:
            self._last_text = text
            self.say(f"{time.strftime('%H:%M:%S')} {text}")

    @staticmethod
    def _words(progress: Progress, waits_for: str | None) -> str:
        parts = []
        if progress.budget is not None:
            parts.append(f"{usd(progress.spent)} of {usd(progress.budget)}")
        elif progress.spent:
            parts.append(usd(progress.spent))
        if failed := progress.failed.total():
            parts.append(f"{failed:,} failed")
        if progress.retries:
            parts.append(f"{progress.retries:,} retries")
        if waits_for and waits_for != "slots":
            parts.append(f"waits for {waits_for}")
        return ", ".join(parts)


def _new_bar() -> "tqdm[Any]":
    return tqdm(
        total=0,
        unit="item",
        file=sys.stderr,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
        "[{elapsed}<{remaining}, {rate_fmt}{postfix}]",
    )


class _LogLines(logging.Handler):
    """Log records as lines above the bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def log_to_terminal(folder: Path) -> None:
    """Show what batchai logs, without any key that the environment or `.env` holds."""
    handler = _LogLines()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(RedactingFilter(Redactor(known_keys(folder))))
    logger = logging.getLogger("batchai")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
