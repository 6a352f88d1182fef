"""One HTTP request over aiohttp, below the SDKs' httpx2 client.

The SDKs' own aiohttp transport ignores socket options, forgets whether a request had left when its
connection failed, and follows the environment's proxies for loopback addresses too. This one turns
TCP keepalive on, tells "never sent" from "answer lost", and never lets plain HTTP out by a proxy.
"""

import errno
import socket
import urllib.request
from collections.abc import Callable
from contextvars import ContextVar
from urllib.parse import urlsplit

import aiohttp
import httpx2

from batchai.errors import ProviderError
from batchai.providers.addresses import is_loopback

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 60.0  # idle connections; the default of 15 s would repeat TLS handshakes
PROBE_SECONDS = 30  # TCP keepalive: well below the few minutes after which NATs forget a flow
_READ_HEADERS = frozenset(
    b"content-encoding content-type date location retry-after retry-after-ms "
    b"request-id x-request-id".split()
)
MAX_ANSWER_BYTES = 64 * 1024 * 1024
# Who wants the answer's bytes as they arrive. The SDKs hand nothing through to the transport, but
# they call it in the task that made the request.
listener: ContextVar[Callable[[bytes], None] | None] = ContextVar("listener", default=None)
_CONTENT = "batchai.content"  # among a response's extensions


class NotSentError(httpx2.ConnectError):
    """No connection: the request surely never left, and nothing can have been billed."""


class OutOfReachError(NotSentError):
    """No connection, and waiting does not mend why: a certificate, a proxy."""


class AnswerLostError(httpx2.ReadError):
    """The connection failed after the request may have left: an answer may have been billed."""


class KeepaliveTransport(httpx2.AsyncBaseTransport):
    """Sends each request once and reads its whole answer; never follows a redirect.

    The pool is unbounded because the gate bounds what is in flight: a pool smaller than the gate
    would hold requests back while their deadlines run. Redirects come back as they are.
    """

    def __init__(self, base_url: str) -> None:
        self._proxy = proxy_for(base_url)
        self._uses_tls = base_url.startswith("https:")
        self._session: aiohttp.ClientSession | None = None  # opened on the running loop
        self._former: list[aiohttp.ClientSession] = []  # may have requests in flight

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises NotSentError or AnswerLostError; their messages name no header and no content."""
        listen = listener.get()
        session = self._session = self._session or _new_session(self._uses_tls)
        try:
            async with session.request(
                request.method,
                str(request.url),
                headers=[
                    (n.decode("latin-1"), v.decode("latin-1"))
                    for n, v in request.headers.raw
                    if listen is None or n.lower() != b"accept-encoding"  # read as it comes
                ],
                data=request.read(),
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                content = await _read(response, listen)
        except _NEVER_SENT as error:
            kind = OutOfReachError if _is_lasting(error) else NotSentError
            raise kind(self._reason(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerLostError(self._reason(error), request=request) from error
        return _answer(request, response, content)

    def reconnect(self) -> None:
        """Send what follows over new connections; what is in flight keeps its own.

        After the machine was suspended, the other ends of idle connections are gone. An answer that
        is on its way may still come, and is paid for.
        """
        if self._session is not None:
            self._former.append(self._session)
            self._session = None

    async def aclose(self) -> None:
        """Close every connection; a second call does nothing."""
        self.reconnect()
        while self._former:
            await self._former.pop().close()

    def _reason(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ClientConnectorDNSError) and self._proxy is not None:
            return f"the name of the proxy of HTTPS_PROXY, {error.host}, cannot be resolved"
        return _reason(error)


def proxy_for(base_url: str) -> str | None:
    """The environment's HTTPS proxy, for https addresses that NO_PROXY does not name.

    TLS runs through the proxy, so it sees neither prompt nor key. Plain HTTP is loopback only, and
    never takes a proxy. Raises ProviderError where what the environment names is none.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies().get("https")
    return _checked_proxy(found) if found else None


def _checked_proxy(address: str) -> str:
    """With its scheme; what is refused is not shown, for it may hold a password."""
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        is_usable = bool(parts.hostname) and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ProviderError(
            "HTTPS_PROXY: must be the address of an HTTP proxy, http://HOST:PORT (SOCKS is not "
            "spoken); correct it, or unset it"
        )
    return address


def keepalive_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices a dead peer: NATs and load balancers forget connections in silence."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # the three below are not on every system; SO_KEEPALIVE alone then keeps its two hours
    for name, value in (("TCP_KEEPIDLE", PROBE_SECONDS), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_OTHER_TLS = frozenset(
    {
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "NO_CIPHERS_AVAILABLE",
        "TLSV1_UNRECOGNIZED_NAME",
    }
)
_REFUSED_BY_PROXY = frozenset({401, 403, 404, 405, 407})
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)


def _new_session(uses_tls: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ssl=httpx2.create_ssl_context() if uses_tls else True,  # building one takes 20 ms
        socket_factory=keepalive_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, connect=3 * CONNECT_SECONDS, sock_connect=CONNECT_SECONDS
        ),
        auto_decompress=False,  # httpx2 decodes
        trust_env=False,
    )


def content_of(response: httpx2.Response) -> bytes:
    """The body of a response, decoded; raises httpx2.DecodingError."""
    content: bytes | None = response.extensions.get(_CONTENT)
    return response.read() if content is None else content


def _answer(
    request: httpx2.Request, response: aiohttp.ClientResponse, content: bytes
) -> httpx2.Response:
    """What httpx2 would read by way of its decoders is laid beside, where it is not encoded."""
    headers = [(n, v) for n, v in response.raw_headers if _is_kept(n.lower())]
    if "content-encoding" in response.headers:
        return httpx2.Response(response.status, headers=headers, content=content, request=request)
    return httpx2.Response(
        response.status,
        headers=headers,
        stream=httpx2.ByteStream(content),
        request=request,
        extensions={_CONTENT: content},
    )


def _is_kept(name: bytes) -> bool:
    """Headers that somebody reads: the rest costs time in every layer, and cookies would stick."""
    return name in _READ_HEADERS or b"ratelimit" in name


async def _read(response: aiohttp.ClientResponse, listen: Callable[[bytes], None] | None) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(
                f"the answer is larger than {MAX_ANSWER_BYTES:,} bytes"
            )
        chunks.append(chunk)
        if listen is not None and response.status == 200:
            listen(chunk)
    return b"".join(chunks)


def _is_lasting(error: Exception) -> bool:
    """Whether the next connection will fail alike; being offline, or a busy server, passes."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return True
        case aiohttp.ClientConnectorSSLError():  # a busy server breaks off a handshake too
            return _tls_problem(error) in _NO_TLS | _OTHER_TLS
        case aiohttp.ClientProxyConnectionError():
            return error.os_error.errno == errno.ECONNREFUSED
        case aiohttp.ClientHttpProxyError():
            return error.status in _REFUSED_BY_PROXY
        case _:
            return False


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return (
                f"the TLS certificate of {error.host} cannot be verified "
                f"({_verify_message(error.certificate_error)}); check this machine's clock, and if "
                "your network has an authority of its own, name its file in SSL_CERT_FILE"
            )
        case aiohttp.ClientConnectorSSLError():
            hint = "; does base_url name a port that speaks https?"
            hint = hint if _tls_problem(error) in _NO_TLS else ""
            return f"TLS with {error.host}:{error.port} failed ({error.strerror or error}){hint}"
        case aiohttp.ClientProxyConnectionError():
            return (
                f"no connection to the proxy of HTTPS_PROXY, {error.host}:{error.port}; start it, "
                "correct its address, or unset HTTPS_PROXY"
            )
        case aiohttp.ClientHttpProxyError():  # its text would show the proxy's password
            return (
                f"the proxy of HTTPS_PROXY answered {error.status}; ask who runs it, or name the "
                "provider's host in NO_PROXY"
            )
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} cannot be resolved"
        case aiohttp.ClientConnectorError():
            return f"no connection to {error.host}:{error.port}: {error.strerror or error.os_error}"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_SECONDS:.0f} s"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return f"the answer broke off: {error}"
        case _:
            return f"the connection broke: {str(error) or type(error).__name__}"


def _tls_problem(error: aiohttp.ClientConnectorSSLError) -> str | None:
    """OpenSSL's name for it."""
    return getattr(error.os_error, "reason", None)


def _verify_message(error: Exception) -> str:
    return getattr(error, "verify_message", "") or str(error)
