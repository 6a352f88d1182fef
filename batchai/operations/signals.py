"""SIGINT and SIGTERM, for as long as something answers them."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def answered(answer: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Each signal calls `answer` on the running loop within the block (main thread only)."""
    loop = asyncio.get_running_loop()
    taken = []
    for number in _SIGNALS:
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, answer, number)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def unheard(_number: signal.Signals) -> None:
    """Answer nothing: for what is soon over, and no use half done."""
