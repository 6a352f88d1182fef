"""The HTTP client under both SDKs: shared, without retries, redirects or ambient settings."""

import httpx2

from batchai.providers.transport import CONNECT_SECONDS, KeepaliveTransport


def open_http(base_url: str) -> tuple[httpx2.Timeout, httpx2.AsyncClient]:
    """A timeout and a client for an SDK at `base_url`.

    The timeout bounds single socket operations; each call has its own total deadline on top.
    """
    timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
    client = httpx2.AsyncClient(
        transport=KeepaliveTransport(base_url),
        timeout=timeout,
        follow_redirects=False,  # a redirect would forward the prompt to another host
        trust_env=False,
    )
    return timeout, client
