"""Promise 13: no key anywhere, whatever goes wrong.

One canary key goes through every failure path: a provider that fails in every way the simulator
knows, servers that echo the key wherever they can, a kill, a full disk, a refused key. Then every
file, every byte printed and, of traced processes, every byte written is searched for it.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from batchai.cli import main
from batchai.simulator import Fault, Settings, Simulator, scripted
from tests.drills.conftest import Figures, Scale
from tests.drills.processes import finish, injecting, recording
from tests.kit import ENVIRONMENT, KEY, Workspace

FORMS = (KEY.encode(), base64.b64encode(KEY.encode())[:-4], KEY.encode("utf-16-le"))
MODELS = {"openai": "openai/gpt-5.4-mini", "anthropic": "anthropic/claude-haiku-4-5"}
MORE = "attempts: 1\nstop_if: none\nlimits: {concurrency: 4, max_wait: 1s}"
LATER = (["status"], ["report", "--json"], ["show", "--failed"], ["export"], ["check"])
SILENT = {Fault.HANG, Fault.STALL, Fault.DRIP}  # nothing comes: minutes until the deadline
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range")


@pytest.fixture(autouse=True)
def _everything_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("SIM_KEY", KEY)


@pytest.mark.parametrize("provider", MODELS)
def test_no_fault_of_a_provider_makes_the_key_appear(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    scale: Scale,
    figures: Figures,
    provider: str,
) -> None:
    faults = [fault for fault in Fault if fault not in SILENT][:: scale(5, 1)]
    for fault in faults:
        settings = Settings(faults=scripted([fault] * 100), huge_bytes=100_000)
        with Simulator(settings) as sim:
            _run_and_look(_space(tmp_path / fault.value, sim.url, provider))
            assert sim.received
    _assert_nowhere(tmp_path, capfd)
    figures(promise=13, failure_paths=len(faults), leaked=0)


@dataclass(frozen=True, slots=True)
class Echo:
    """An answer that holds the key of the request."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


def _error(status: int, key: str) -> Echo:
    error = {"type": f"e_{key}", "code": key, "message": f"Incorrect key {key}, Bearer {key}"}
    return Echo(status, json.dumps({"type": "error", "error": error}))


def _answer(text: str, *, model: str = "m", stop: str = "stop") -> Echo:
    """An answer that either SDK reads."""
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "input_tokens": 5, "output_tokens": 5}
    message = {"role": "assistant", "content": text}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": stop}],
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens"}.get(stop, stop),
        "usage": usage,
    }
    return Echo(200, json.dumps(body))


ECHOES: dict[str, Callable[[str], Echo]] = {
    **{f"HTTP {code}": partial(_error, code) for code in (400, 401, 404, 429, 500)},
    "a page": lambda key: Echo(502, f"<html><title>{key}</title>{key}</html>"),
    "plain text": lambda key: Echo(503, f"no {key}"),
    "200 with an error": lambda key: Echo(200, _error(200, key).body),
    "a page with 200": lambda key: Echo(200, f"<title>{key}</title>"),
    "half of JSON": lambda key: Echo(200, f'{{"id": "{key}'),
    "an invalid answer": lambda key: _answer(f"The key is {key}."),
    "a value of no schema": lambda key: _answer(json.dumps({"mood": key, key: key})),
    "a truncated answer": lambda key: _answer(f'{{"mood": "{key}', stop="length"),
    "a refusal": lambda key: _answer(f"I refuse {key}", stop="refusal"),
    "an unknown stop": lambda key: _answer("x", stop=key),
    "a model's name": lambda key: _answer('{"mood": "good"}', model=f"m-{key}"),
    "headers": lambda key: Echo(
        500, "{}", {"x-request-id": key, "request-id": key, "retry-after": key, "x-key": key}
    ),
    "a redirect": lambda key: Echo(307, "", {"location": f"http://127.0.0.1:9/{key}"}),
}


@pytest.mark.parametrize("provider", MODELS)
def test_no_server_that_echoes_the_key_gets_it_written_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], figures: Figures, provider: str
) -> None:
    for name, echo in ECHOES.items():
        with _echoing(echo) as url:
            _run_and_look(_space(tmp_path / name.replace(" ", "-"), url, provider))
    _assert_nowhere(tmp_path, capfd)
    figures(promise=13, failure_paths=len(ECHOES), leaked=0)


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    "fault",
    [
        "pwrite64:error=ENOSPC:when=60+",
        pytest.param("fdatasync:error=EIO:when=3+", marks=pytest.mark.full),
        "fdatasync:signal=KILL:when=14",
        pytest.param("openat:error=EMFILE:when=900+", marks=pytest.mark.full),
    ],
)
def test_no_process_that_breaks_writes_the_key(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], figures: Figures, fault: str
) -> None:
    with Simulator() as sim:
        space = _space(tmp_path / "job", sim.url, "openai", items=40)
        command = space.command("run", "--yes")
        broken = finish([*injecting(fault), *command], space.folder)
        assert broken.code not in {0, 2}, broken.errors
        log = tmp_path / "log"
        done = finish([*recording(log, WRITES), *command], space.folder, ENVIRONMENT)
    assert done.code == 0, done.errors

    written = bytes.fromhex("".join(_hex_of(log)))
    log.unlink()
    assert written
    assert not any(form in written for form in FORMS)
    (tmp_path / "printed").write_text(broken.output + broken.errors + done.output + done.errors)
    _assert_nowhere(tmp_path, capfd)
    figures(promise=13, failure_paths=1, bytes_searched=len(written), leaked=0)


def _space(folder: Path, url: str, provider: str, items: int = 3) -> Workspace:
    folder.mkdir()
    base_url = f"{url}/v1" if provider == "openai" else url
    return Workspace(folder, base_url, model=MODELS[provider], top=MORE).write(items)


def _run_and_look(space: Workspace) -> None:
    """Run the job, and look at it with every command that shows what the store holds."""
    job = str(space.job_path)
    main(["run", job, "--yes"])
    for command, *options in LATER:
        main([command, job, *options])


def _assert_nowhere(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    printed = capfd.readouterr()
    texts = {"stdout": printed.out.encode(), "stderr": printed.err.encode()}
    texts |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    leaks = [name for name, text in texts.items() if any(form in text for form in FORMS)]
    assert len(texts) > 5
    assert not leaks


def _hex_of(log: Path) -> Iterator[str]:
    """What was written to files and terminals, as hex digits, a line a call."""
    for line in log.read_text().splitlines():
        _, quote, rest = line.partition('"')
        if quote and "socket:" not in line:
            yield rest.partition('"')[0].replace("\\x", "")


@contextmanager
def _echoing(echo: Callable[[str], Echo]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
            answer = echo(self.headers.get("x-api-key") or bearer)
            body = answer.body.encode()
            self.send_response(answer.status)
            kind = "application/json" if body[:1] == b"{" else "text/html"
            for name, value in {"content-type": kind, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
