"""Ways to tell somebody: a program, a web address, a service of the apprise library.

Each takes ten seconds at most and raises MessengerError, whose words hold neither address nor key.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from batchai.secrets import find_key
from batchai.spec.addresses import host_of, web_problem
from batchai.spec.models import Notify

_SECONDS = 10.0
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class MessengerError(Exception):
    """Somebody could not be told."""


async def deliver(notify: Notify, *, title: str, text: str, body: str) -> list[str]:
    """Tell everybody at once; returns what went wrong. body: the news as JSON."""
    folder = notify.origin.parent

    async def attempt(name: str, send: Callable[[], Awaitable[None]]) -> str | None:
        try:
            async with asyncio.timeout(_SECONDS):
                await send()
        except TimeoutError:
            return f"{name}: took longer than {_SECONDS:.0f} s"
        except MessengerError as error:
            return f"{name}: {error}"
        except Exception as error:  # noqa: BLE001 a plugin may raise anything, with keys in it
            return f"{name}: {type(error).__name__}"
        return None

    ways: dict[str, Callable[[], Awaitable[None]]] = {}
    if notify.command:
        ways[f"command {Path(notify.command[0]).name}"] = lambda: _run(notify.command, body)
    if notify.webhook is not None:
        ways["webhook"] = lambda: _post(_filled(notify.webhook or "", folder), body)
    if notify.apprise:
        urls = notify.apprise
        ways["apprise"] = lambda: _apprise([_filled(url, folder) for url in urls], title, text)
    found = await asyncio.gather(*(attempt(name, send) for name, send in ways.items()))
    return [problem for problem in found if problem is not None]


async def _run(command: Sequence[str], body: str) -> None:
    """The program in a session of its own, so that all of it can be ended."""
    nowhere = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            start_new_session=True,
        )
    except OSError as error:
        raise MessengerError(error.strerror or "cannot be started") from error
    try:
        await process.communicate(f"{body}\n".encode())
    finally:
        if process.returncode is None:
            _end(process)
            await process.wait()
    if process.returncode:
        raise MessengerError(f"exited with {process.returncode}")


def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()


async def _post(url: str, body: str) -> None:
    import aiohttp

    problem = web_problem(url)
    if problem:
        raise MessengerError(problem)
    headers = {"Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status >= 300:
                raise MessengerError(f"{host_of(url)} answered HTTP {answer.status}")
    except aiohttp.ClientError as error:
        raise MessengerError(f"{host_of(url)}: {type(error).__name__}") from error


async def _apprise(urls: Sequence[str], title: str, text: str) -> None:
    try:
        import apprise
    except ImportError as error:
        raise MessengerError('needs a package: pip install "batchai[notify]"') from error
    with _unheard("apprise"):
        told = apprise.Apprise()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of plugins that it loads now
            are_known = all(told.add(url) for url in urls)
        if not are_known:
            raise MessengerError("an address is none that it knows")
        if not await told.async_notify(title=title, body=text):
            raise MessengerError("somebody could not be reached")


@contextlib.contextmanager
def _unheard(name: str) -> Iterator[None]:
    """What a library logs may hold addresses with keys."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _filled(text: str, folder: Path) -> str:
    """With its variables, of the environment or of a `.env` beside the project file."""

    def value(match: re.Match[str]) -> str:
        secret = find_key((match[1],), folder)
        if secret is None:
            raise MessengerError(f"{match[1]} is not set in the environment or in .env")
        return secret.value

    return _VARIABLE.sub(value, text)
