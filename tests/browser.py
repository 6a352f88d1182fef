"""Chromium without a window, driven over its DevTools protocol; skips where it is not installed.

https://chromedevtools.github.io/devtools-protocol/ has the commands.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE_SECONDS = 60
_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


@dataclass
class Page:
    """One open page. complaints: errors, broken rules, and addresses other than the page's own."""

    socket: aiohttp.ClientWebSocketResponse
    session: str
    url: str = ""
    is_loaded: bool = False
    complaints: list[str] = field(default_factory=list)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def open(self, path: Path) -> float:
        """Load a file; returns the seconds until it was loaded and its script had run."""
        self.url = path.as_uri()
        self.is_loaded = False
        await self.send("Page.navigate", url=self.url)
        while not self.is_loaded:
            await self._next()
        entry = "performance.getEntriesByType('navigation')[0].loadEventStart"
        return float(await self.value(entry)) / 1000

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command and its result."""
        number = next(self._ids)
        command = {"id": number, "method": method, "params": parameters}
        await self.socket.send_json(
            {**command, "sessionId": self.session} if self.session else command
        )
        while True:
            message = await self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json(timeout=_PATIENCE_SECONDS)
        parameters = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self.is_loaded = True
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent" if parameters["request"]["url"] != self.url:
                self.complaints.append(parameters["request"]["url"])
        return message


@asynccontextmanager
async def browser_page(folder: Path) -> AsyncIterator[Page]:
    """A new page of a browser of its own, which keeps its files in the folder."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("Chromium is not installed")
    flags = [*_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # which it refuses to be root with
    process = _started([program, *flags, "about:blank"])
    try:
        address = await asyncio.to_thread(_address, process)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(address, max_msg_size=0) as socket,
        ):
            yield await _attached(socket)
            await Page(socket, "").send("Browser.close")
    finally:
        process.kill()
        process.communicate()


def _started(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def _address(process: "subprocess.Popen[bytes]") -> str:
    assert process.stderr is not None
    for line in process.stderr:
        _, found, address = line.decode().partition("DevTools listening on ")
        if found:
            return address.strip()
    raise AssertionError(f"Chromium ended with code {process.wait()}")


async def _attached(socket: aiohttp.ClientWebSocketResponse) -> Page:
    browser = Page(socket, "")
    target = (await browser.send("Target.createTarget", url="about:blank"))["targetId"]
    session = await browser.send("Target.attachToTarget", targetId=target, flatten=True)
    page = Page(socket, session["sessionId"])
    for part in ("Page", "Runtime", "Log", "Network"):
        await page.send(f"{part}.enable")
    return page
