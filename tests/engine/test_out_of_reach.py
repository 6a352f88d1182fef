"""Certificates and proxies that keep a provider out of reach: the job stops at once and says why.

The keys in `tls/` are for these tests: the certificates name 127.0.0.1 and nobody trusts them.
"""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from batchai.domain import Outcome, Reply, State
from batchai.engine.outage import Outage
from batchai.engine.runner import Reason
from batchai.errors import ProviderError
from batchai.operations.run import RunSummary
from tests.engine.rig import GOOD, rig, texts
from tests.kit import Workspace
from tests.providers.asking import ask, model_at
from tests.virtual import VirtualClock, run_virtual

TLS = Path(__file__).parent / "tls"
ITEMS = 30
MOST_SENT = 4  # what leaves before the first answer
ELSEWHERE = "https://provider.invalid/v1"  # never looked up: a proxy does that
LASTING = Reply(Outcome.CONNECTION_LOST, detail="no certificate", is_lasting=True)


class _Provider(BaseHTTPRequestHandler):
    """Gives every request the same answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": '{"mood": "good"}'}
        answer = {
            "object": "chat.completion",
            "model": "gpt-5.4-mini",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class _Proxy(BaseHTTPRequestHandler):
    """Wants a password that nobody has."""

    def do_CONNECT(self) -> None:
        self.send_response(407)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Handshakes fail here on purpose."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: str | None = None) -> Iterator[int]:
    """The port of a server on loopback, over TLS where a certificate is named."""
    with _Server(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / f"{certificate}.pem")
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def _ambient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def refused(folder: Path, url: str) -> RunSummary:
    """A run that no answer came of, and that stopped without burning attempts or money."""
    space = Workspace(folder, url).write(ITEMS)
    summary = space.run()
    assert (summary.end.reason, summary.exit_code) == (Reason.OUT_OF_REACH, 3)
    assert summary.run.attempts <= MOST_SENT
    assert summary.run.cost == summary.run.unconfirmed == 0
    assert {row.state for row in space.results()} == {State.PENDING}
    return summary


@pytest.mark.parametrize(
    ("certificate", "problem"),
    [("self_signed", "self-signed certificate"), ("expired", "certificate has expired")],
)
def test_a_certificate_that_cannot_be_verified_stops_the_job_at_once(
    tmp_path: Path, certificate: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if certificate == "expired":  # of an authority that is trusted
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "expired.pem"))
    with serving(_Provider, certificate) as port:
        detail = refused(tmp_path, f"https://127.0.0.1:{port}/v1").end.detail
    assert "the TLS certificate of 127.0.0.1 cannot be verified" in detail
    assert problem in detail
    assert "SSL_CERT_FILE" in detail


def test_the_remedy_that_is_named_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(_Provider, "self_signed") as port:
        url = f"https://127.0.0.1:{port}/v1"
        refused(tmp_path, url)
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "self_signed.pem"))
        summary = Workspace(tmp_path, url).run()
    assert summary.counts == {State.SUCCEEDED: ITEMS}
    assert summary.exit_code == 0


def test_a_port_that_speaks_no_tls_stops_the_job_at_once(tmp_path: Path) -> None:
    with serving(_Provider) as port:
        detail = refused(tmp_path, f"https://127.0.0.1:{port}/v1").end.detail
    assert f"TLS with 127.0.0.1:{port} failed" in detail
    assert "does base_url name a port that speaks https?" in detail


async def test_a_server_that_breaks_off_the_handshake_may_only_be_busy() -> None:
    internal_error = bytes.fromhex("15 0303 0002 02 50")  # an alert: RFC 8446, section 6

    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(internal_error)
        writer.close()

    async with await asyncio.start_server(alert, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        model = model_at("openai", f"https://127.0.0.1:{port}/v1", api_key_env="SIM_KEY")
        reply = await ask(model, deadline_seconds=30)
    assert (reply.outcome, reply.is_lasting) == (Outcome.CONNECTION_LOST, False)
    assert "internal error" in reply.detail
    assert "base_url" not in reply.detail


def test_a_proxy_that_is_not_there_stops_the_job_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = closed_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
    detail = refused(tmp_path, ELSEWHERE).end.detail
    assert f"no connection to the proxy of HTTPS_PROXY, 127.0.0.1:{port}; start it" in detail
    assert "secret" not in detail


def test_a_proxy_that_refuses_stops_the_job_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(_Proxy) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        detail = refused(tmp_path, ELSEWHERE).end.detail
    assert "the proxy of HTTPS_PROXY answered 407" in detail
    assert "NO_PROXY" in detail


@pytest.mark.parametrize(
    "address",
    ["socks5://127.0.0.1:1", "http://me:secret@127.0.0.1:99999", "http://[::1", "http://"],
)
def test_what_is_no_address_of_a_proxy_is_refused_before_anything_is_sent(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    space = Workspace(tmp_path, ELSEWHERE).write(2)
    with pytest.raises(ProviderError, match="HTTPS_PROXY: must be the address") as caught:
        space.run()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (None, "the name provider.invalid cannot be resolved"),
        ("proxy.invalid:3128", "the name of the proxy of HTTPS_PROXY, proxy.invalid, cannot be"),
    ],
)
async def test_a_name_that_cannot_be_resolved_may_only_be_the_network_that_is_gone(
    proxy: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if proxy is not None:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    reply = await ask(model_at("openai", ELSEWHERE, api_key_env="SIM_KEY"), deadline_seconds=30)
    assert words in reply.detail
    assert (reply.outcome, reply.is_lasting) == (Outcome.CONNECTION_LOST, False)
    assert not reply.may_be_billed


def test_being_offline_is_sat_out(tmp_path: Path) -> None:
    """Nobody listens, as where a model server is started a little later than the job."""

    async def main() -> None:
        async with rig(tmp_path, texts(ITEMS)) as it:
            begin = it.opened.clock.monotonic()
            offline = Reply(Outcome.CONNECTION_LOST, detail="no connection")
            it.script.answer = lambda *_: (
                offline if it.opened.clock.monotonic() - begin < 25 else GOOD
            )
            assert (await it.work()).reason is Reason.FINISHED

    run_virtual(main())


def test_a_provider_that_has_served_is_sat_out_whatever_is_in_the_way_now() -> None:
    async def main() -> None:
        outage = Outage(patience_seconds=3600, clock=VirtualClock())
        outage.take(LASTING)
        assert outage.is_out_of_reach
        outage.take(GOOD)
        outage.take(LASTING)
        assert not outage.is_out_of_reach

    run_virtual(main())
