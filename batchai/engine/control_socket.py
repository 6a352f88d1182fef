"""A launch takes commands on a unix domain socket beside its store; both ends are here.

One line of JSON asks, one answers. Whoever hangs or talks nonsense is answered with an error or
left, and the launch notices nothing of it. The launch holds the job's lock, so a socket that lies
there when it begins is of a launch that was killed.
"""

import asyncio
import hashlib
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchai.engine.control import Control
from batchai.errors import BatchaiError, RefusedError

log = logging.getLogger(__name__)

HAS_SOCKETS = hasattr(socket, "AF_UNIX")  # not on Windows
_MOST_PATH_BYTES = 100  # sun_path: 104 on macOS, 108 on Linux
_MOST_BYTES = 64 * 1024
_REQUEST_SECONDS = 5.0  # for a client to say its line
_LINGER_SECONDS = 1.0  # for answers, when the launch is over

Request = Mapping[str, Any]


@asynccontextmanager
async def listening(control: Control, store_path: Path) -> AsyncIterator[None]:
    """Take commands for a launch within the block; without sockets, go on without."""
    bound = _bind(store_path)
    if bound is None:
        yield
        return
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await _talk(control, reader, writer)
        finally:
            talks.discard(task)

    path, listener = bound
    server = await asyncio.start_unix_server(talk, sock=listener, limit=_MOST_BYTES)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        if talks:
            await asyncio.wait(talks, timeout=_LINGER_SECONDS)
        for task in talks:
            task.cancel()


def call(store_path: Path, request: Request, *, timeout_seconds: float) -> dict[str, Any] | None:
    """A launch's answer; None where none listens, or none answers in time.

    Raises RefusedError with the launch's own words where it refuses.
    """
    for path in _paths(store_path) if HAS_SOCKETS else ():
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as talk:
            talk.settimeout(timeout_seconds)
            talk.connect(str(path))
            talk.sendall(json.dumps(request).encode() + b"\n")
            with talk.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline(_MOST_BYTES))
            break
    else:
        return None
    if "error" in answer:
        raise RefusedError(str(answer["error"]))
    return answer


async def _talk(
    control: Control, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            line = await reader.readline()
        writer.write(json.dumps(await _answer(control, line)).encode() + b"\n")
        async with asyncio.timeout(_REQUEST_SECONDS):
            await writer.drain()
    except (OSError, ValueError, TimeoutError):  # it hung, left, or sent a line without an end
        log.debug("a client of the control socket was left")
    finally:
        writer.close()


async def _answer(control: Control, line: bytes) -> dict[str, Any]:
    try:
        await _do(control, json.loads(line))
    except (BatchaiError, ValueError, RecursionError) as error:
        return {"error": str(error)}
    live = asdict(control.live())
    return {**live, "budget_usd": None if live["budget_usd"] is None else str(live["budget_usd"])}


async def _do(control: Control, request: object) -> None:
    match request:
        case {"do": "status"}:
            pass
        case {"do": "pause"}:
            await control.pause()
        case {"do": "resume"}:
            await control.resume()
        case {"do": "stop", "now": bool(now)}:
            await control.stop(now=now)
        case {"do": "tune", "values": dict(values)}:
            await control.tune(values)
        case _:
            raise ValueError("no such request")


def _bind(store_path: Path) -> tuple[Path, socket.socket] | None:
    for path in _paths(store_path) if HAS_SOCKETS else ():
        listener = socket.socket(socket.AF_UNIX)
        try:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o600)  # nobody can connect before it listens
        except OSError as error:
            listener.close()
            log.debug("%s: takes no commands (%s)", path, error.strerror)
        else:
            return path, listener
    log.warning("this launch takes no commands of `batchai pause`, `tune` and `stop`")
    return None


def _paths(store_path: Path) -> Iterator[Path]:
    """Beside the store, else in a folder of ours where paths are short and sockets can be."""
    beside = store_path.with_suffix(".sock")
    if len(os.fsencode(beside)) <= _MOST_PATH_BYTES:
        yield beside
    short = Path(f"/tmp/batchai-{os.getuid()}")
    with suppress(OSError):
        short.mkdir(mode=0o700, exist_ok=True)
        found = short.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o77:
            yield short / f"{hashlib.sha256(os.fsencode(store_path)).hexdigest()[:24]}.sock"
