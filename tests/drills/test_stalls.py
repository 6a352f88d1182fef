"""Promise 9: every attempt ends or times out, however the other side falls silent.

Raw servers that stall at each stage of a connection, asked through the real SDKs. An attempt's
deadline is seconds here, minutes in a run; what must hold is that it is kept.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from batchai.domain import Outcome
from tests.drills.conftest import Figures
from tests.providers.asking import ask, model_at

DEADLINE_SECONDS = 0.7
PATIENCE_SECONDS = 30  # of the drill: far beyond the deadline, whatever the machine is at
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BODY = b'{"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "te'

Part = bytes | None  # what is sent next; None: nothing ever again
Shape = Callable[[], Iterator[Part]]


def _then_silence(*parts: bytes) -> Shape:
    return lambda: iter([*parts, None])


def _for_ever(part: bytes, *first: bytes) -> Shape:
    def parts() -> Iterator[Part]:
        yield from first
        while True:
            yield part

    return parts


SHAPES: dict[str, Shape] = {
    "nothing at all": _then_silence(),
    "half of the status line": _then_silence(b"HTTP/1.1 2"),
    "status line only": _then_silence(b"HTTP/1.1 200 OK\r\n"),
    "headers without an end": _then_silence(HEAD),
    "headers that never end": _for_ever(b"X-More: 1\r\n", b"HTTP/1.1 200 OK\r\n"),
    "headers and no body": _then_silence(HEAD + b"Content-Length: 500\r\n\r\n"),
    "half of the body": _then_silence(HEAD + b"Content-Length: 500\r\n\r\n" + BODY),
    "a body of unknown length": _then_silence(HEAD + b"Connection: close\r\n\r\n" + BODY),
    "a body that drips": _for_ever(b" ", HEAD + b"Content-Length: 500000\r\n\r\n"),
    "half of a chunk": _then_silence(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + BODY),
    "no last chunk": _then_silence(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(BODY), BODY)
    ),
    "chunks that never end": _for_ever(b"1\r\n \r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
    "continues for ever": _for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_an_attempt_ends_by_its_deadline_whatever_stalls(
    provider: str, figures: Figures
) -> None:
    with ExitStack() as servers:
        urls = {name: servers.enter_context(_stalling(shape)) for name, shape in SHAPES.items()}
        urls["no connection"] = servers.enter_context(_deaf())
        replies = await asyncio.gather(*(_asked(provider, url) for url in urls.values()))
    outcomes = dict(zip(urls, replies, strict=True))

    assert set(outcomes.values()) == {Outcome.TIMED_OUT}, outcomes
    figures(promise=9, stalls=len(outcomes), hung=0)


async def _asked(provider: str, url: str) -> Outcome:
    base_url = url if provider == "anthropic" else f"{url}/v1"
    async with asyncio.timeout(PATIENCE_SECONDS):
        reply = await ask(model_at(provider, base_url), deadline_seconds=DEADLINE_SECONDS)
    return reply.outcome


@contextmanager
def _stalling(shape: Shape) -> Iterator[str]:
    """A server that reads a request and answers in this shape, each connection until it is gone."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            for part in shape():
                if part is None:
                    over.wait()
                    return
                connection.sendall(part)
                if over.wait(0.02):
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def _deaf() -> Iterator[str]:
    """An address where connecting never ends: the queue of a server that accepts nobody is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        try:
            for other in waiting:
                other.setblocking(False)
                with suppress(BlockingIOError):
                    other.connect(address)
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for other in waiting:
                other.close()
