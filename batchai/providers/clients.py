"""The HTTP client under both SDKs: shared, without retries, redirects or ambient settings."""

from collections.abc import Mapping
from typing import Any

import httpx2

from batchai.providers.transport import CONNECT_SECONDS, KeepaliveTransport

_NEGOTIATION = (b"accept-encoding", b"connection")  # of httpx2's own headers; the SDKs set the rest


def open_http(base_url: str) -> tuple[httpx2.Timeout, "StraightClient"]:
    """A timeout and a client for an SDK at `base_url`.

    The timeout bounds single socket operations; each call has its own total deadline on top.
    """
    timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
    return timeout, StraightClient(KeepaliveTransport(base_url), timeout)


def request_options(
    timeout: httpx2.Timeout, *, headers: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What an SDK's `post` takes as `options`.

    All are the defaults; but an SDK deep-copies those that it is not given, for each request.
    """
    return {"timeout": timeout, "max_retries": 0, "params": {}, "headers": headers or {}}


def parse_once(client: Any, url: str) -> str:
    """Spare an SDK parsing its one address for each request; a later SDK may not heed it."""
    parsed = httpx2.URL(url)
    client._prepare_url = lambda *_: parsed
    return url


class StraightClient(httpx2.AsyncClient):
    """Sends what an SDK builds as it is, for one address.

    Cookies, authentication, hooks and redirects have no use here (a redirect would forward the
    prompt to another host), but httpx2's way through them costs as much as the sending: it parses
    the address twice, and merges and copies all headers, for each request.
    """

    def __init__(self, transport: KeepaliveTransport, timeout: httpx2.Timeout) -> None:
        super().__init__(
            transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
        )
        self._straight = transport
        self.reconnect = transport.reconnect
        self._own_headers = [item for item in self.headers.raw if item[0].lower() in _NEGOTIATION]

    def build_request(
        self,
        method: str,
        url: httpx2.URL | str,
        *,
        content: Any = None,
        headers: Any = None,
        **others: Any,
    ) -> httpx2.Request:
        """With a body of bytes: aiohttp adds its length and the host. Others as httpx2 does."""
        if not isinstance(content, bytes) or others.get("params"):
            return super().build_request(method, url, content=content, headers=headers, **others)
        given = headers.raw if isinstance(headers, httpx2.Headers) else headers
        return httpx2.Request(
            method,
            url,
            headers=[*self._own_headers, *given],
            stream=httpx2.ByteStream(content),
        )

    async def send(self, request: httpx2.Request, **_options: Any) -> httpx2.Response:
        """Exactly one request; the answer is read whole."""
        if self.is_closed:
            raise RuntimeError("the client has been closed")
        return await self._straight.handle_async_request(request)
