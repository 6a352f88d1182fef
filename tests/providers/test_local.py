"""The local model's server: it answers, it outlives Ctrl-C, and it never outlives its parent.

Needs the extra `local`, and the weights in the user's cache:
`python -m batchai.providers.local_weights`.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
import pytest_asyncio

import batchai
from batchai.domain import Message, ModelSettings, Outcome, Request
from batchai.errors import ProviderError
from batchai.providers.local import LocalProvider, open_local
from batchai.providers.local_weights import SMOLLM2_135M, user_cache
from batchai.providers.openai_chat import OpenAIChat
from batchai.schemas import normalise
from batchai.spec.models import Model

WEIGHTS = user_cache() / Path(SMOLLM2_135M.member).name
SCHEMA = {
    "type": "object",
    "properties": {"sentiment": {"type": "string", "enum": ["positive", "negative"]}},
    "required": ["sentiment"],
    "additionalProperties": False,
}
QUESTION = "Customer feedback: {}\n\nIs the sentiment of this feedback positive or negative?"

needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason='needs pip install "batchai[local]"'
)
needs_model = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or not WEIGHTS.exists(),
    reason='needs pip install "batchai[local]" and python -m batchai.providers.local_weights',
)


shared_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[LocalProvider]:
    """One server for the tests that leave it as it is."""
    provider = open_local(Model(name="local/smollm2-135m"), concurrency=2)
    yield provider
    await provider.close()


@pytest.fixture
async def own() -> AsyncIterator[LocalProvider]:
    provider = open_local(Model(name="local/smollm2-135m"), concurrency=1)
    yield provider
    await provider.close()


def request(text: str, *, schema: dict[str, object] | None = None, max_tokens: int = 32) -> Request:
    settings = ModelSettings("local", "smollm2-135m", temperature=0, schema=schema)
    return Request(settings, None, (Message("user", QUESTION.format(text)),), max_tokens)


def is_listening(base_url: str, *, until_closed: bool = False) -> bool:
    """Whether a connection is taken; until_closed: hold it until the other side ends it.

    A dying process closes its connections before the socket that it listens on.
    """
    address = urlsplit(base_url)
    assert address.hostname and address.port
    try:
        with socket.create_connection((address.hostname, address.port), timeout=10) as held:
            if until_closed:
                held.recv(1)
            return True
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        return True


@shared_loop
@needs_model
@pytest.mark.parametrize(
    "schema", [SCHEMA, normalise(SCHEMA, "openai")], ids=["plain", "openai-strict"]
)
async def test_an_answer_follows_the_schema_and_carries_usage(
    shared: LocalProvider, schema: dict[str, object]
) -> None:
    body = shared.encode(request("I love it, wonderful!", schema=schema))
    reply = await shared.send(body, deadline_seconds=60)
    assert reply.outcome is Outcome.SUCCEEDED
    assert orjson.loads(reply.text) == {"sentiment": "positive"}
    assert reply.model == "smollm2-135m"
    assert reply.usage and reply.usage.output > 0
    assert shared.counted_input_tokens(reply.usage) > 20


@shared_loop
@needs_model
async def test_what_does_not_fit_is_told_apart(shared: LocalProvider) -> None:
    cut = await shared.send(shared.encode(request("Fine.", max_tokens=2)), deadline_seconds=60)
    too_long = await shared.send(shared.encode(request("word " * 3000)), deadline_seconds=60)
    assert (cut.outcome, too_long.outcome) == (Outcome.TRUNCATED, Outcome.TOO_LONG)
    assert "longer than the model's context window" in too_long.detail


@shared_loop
@needs_model
async def test_the_server_asks_for_its_key(shared: LocalProvider) -> None:
    server = await shared.start()
    stranger = OpenAIChat(base_url=server.base_url, key="a-guess")
    reply = await stranger.send(shared.encode(request("Good.")), deadline_seconds=60)
    await stranger.close()
    assert reply.outcome is Outcome.AUTH_FAILED


@shared_loop
@needs_model
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
async def test_the_server_answers_through_a_signal_to_its_group(
    shared: LocalProvider, number: signal.Signals
) -> None:
    server = await shared.start()
    assert os.getpgid(server.process.pid) != os.getpgrp()  # the terminal signals the parent's
    os.killpg(server.process.pid, number)
    reply = await shared.send(shared.encode(request("Good.")), deadline_seconds=60)
    assert reply.outcome in (Outcome.SUCCEEDED, Outcome.TRUNCATED)


@needs_model
async def test_close_ends_the_server_without_force(own: LocalProvider) -> None:
    server = await own.start()
    await own.close()
    assert server.process.returncode == 0
    assert not is_listening(server.base_url)


@needs_model
def test_the_server_dies_with_a_killed_parent() -> None:
    command = [sys.executable, "-m", "tests.providers.local_parent"]
    root = Path(batchai.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        base_url = parent.stdout.readline().decode().strip()
        assert is_listening(base_url)
        parent.kill()
    assert any(not is_listening(base_url, until_closed=True) for _ in range(3))


@needs_model
async def test_a_server_that_was_killed_stops_the_run_with_its_reason(
    own: LocalProvider,
) -> None:
    server = await own.start()
    server.process.kill()
    reply = await own.send(own.encode(request("Good.")), deadline_seconds=60)
    assert reply.outcome is Outcome.UNKNOWN_MODEL
    assert "ended by itself: signal 9" in reply.detail


@needs_runtime
async def test_a_file_that_is_no_model_is_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"this is no model")
    provider = open_local(Model(name=f"local/{path}"), concurrency=1)
    # llama.cpp logs in a thread of its own: on a busy machine its better line is not out in time
    with pytest.raises(ProviderError, match=r"broken\.gguf.*did not start: .*(magic|init)"):
        await provider.start()
    reply = await provider.send(provider.encode(request("Good.")), deadline_seconds=60)
    await provider.close()
    assert reply.outcome is Outcome.UNKNOWN_MODEL
    assert "broken.gguf" in reply.detail


@needs_runtime
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("local/smollm3", r"only smollm2-135m; a file of your own is local//path"),
        ("local//nowhere/model.gguf", r"there is no file /nowhere/model\.gguf"),
    ],
    ids=["unknown name", "missing file"],
)
def test_a_model_that_is_not_there_is_refused_at_once(name: str, problem: str) -> None:
    with pytest.raises(ProviderError, match=problem):
        open_local(Model(name=name), concurrency=1)


def test_a_missing_runtime_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ProviderError, match=r'pip install "batchai\[local\]"'):
        open_local(Model(name="local/smollm2-135m"), concurrency=1)
