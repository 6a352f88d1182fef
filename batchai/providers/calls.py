"""One call through an SDK: bytes out, one Reply back, whatever happens in between."""

import asyncio
import itertools
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import httpx2
import orjson

from batchai.clock import Clock
from batchai.domain import Outcome, Reply, Usage
from batchai.providers import failures, quotas
from batchai.providers.streaming import Deadlines, Fold, Listener
from batchai.providers.transport import NotSentError, OutOfReachError, content_of, listener
from batchai.providers.wording import one_line, without_echo
from batchai.schemas import safe_text
from batchai.secrets import MIN_REDACTED_CHARS
from batchai.spec.models import STANDARD_TIERS

# each request's own name, as the SDKs give it; but they ask the system for random bytes each time
_PROCESS, _numbers = uuid.uuid4().hex, itertools.count()


class SdkClient(Protocol):
    """What both SDKs' clients have in common, as far as we use it."""

    async def post(
        self, path: str, *, cast_to: type[httpx2.Response], content: bytes, options: Any
    ) -> httpx2.Response:
        """One POST; raises the SDK's own exceptions."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A client with what is needed to use it and to read what comes back.

    status_error, connection_error: the SDK's exceptions with and without an HTTP response.
    url: complete, since an SDK parses and joins one that is relative for each request.
    read: a decoded 200 → outcome, text, usage, model and detail. fold: begins to put the events of
    a streamed one together. key: only to redact it. reconnect: leaves idle connections.
    """

    client: SdkClient
    url: str
    status_error: type[Exception]
    connection_error: type[Exception]
    read: Callable[[dict[str, Any]], Reply]
    fold: Callable[[], Fold]
    key: str | None
    options: Mapping[str, Any]
    reconnect: Callable[[], None]


async def call(line: Line, body: bytes, *, deadline_seconds: float) -> Reply:
    """Exactly one HTTP request; every failure is a Reply. CancelledError and MemoryError pass."""
    try:
        async with asyncio.timeout(deadline_seconds):
            response = await _post(line, body)
    except TimeoutError:
        return _timed_out(f"no complete answer within {deadline_seconds:g} s")
    if isinstance(response, Reply):
        return response
    return _answered(line, body, response)


async def stream(
    line: Line, body: bytes, *, deadlines: Deadlines, on_text: Callable[[str], None]
) -> Reply:
    """The same, its answer read as it is written; one that breaks off keeps its text."""
    now = asyncio.get_running_loop().time
    idle = asyncio.timeout(deadlines.first_seconds)
    ear = Listener(
        line.fold(),
        on_text=on_text,
        on_progress=lambda: idle.reschedule(now() + deadlines.idle_seconds),
    )
    token = listener.set(ear.take)
    try:
        async with asyncio.timeout(deadlines.total_seconds) as total, idle:
            response = await _post(line, body)
    except TimeoutError:
        reply = _timed_out(_silence(deadlines, ear, is_over=total.expired()))
        return replace(reply, text=ear.text)
    finally:
        listener.reset(token)
    if isinstance(response, Reply):
        return replace(response, text=ear.text)
    return _streamed(line, body, response, ear)


async def _post(line: Line, body: bytes) -> httpx2.Response | Reply:
    """The response, or what came instead of a 200."""
    options = {**line.options, "idempotency_key": f"{_PROCESS}-{next(_numbers)}"}
    try:
        return await line.client.post(
            line.url, cast_to=httpx2.Response, content=body, options=options
        )
    except line.status_error as error:
        return _refused(line, body, response_of(error))
    except line.connection_error as error:
        return _lost(line, error)


def _timed_out(detail: str) -> Reply:
    return Reply(Outcome.TIMED_OUT, may_be_billed=True, detail=detail)


def _silence(deadlines: Deadlines, ear: Listener, *, is_over: bool) -> str:
    if is_over:
        return f"the answer did not end within {deadlines.total_seconds:g} s"
    if not ear.text:
        return f"no answer began within {deadlines.first_seconds:g} s"
    return f"nothing came for {deadlines.idle_seconds:g} s, after {len(ear.text):,} characters"


def response_of(error: Exception) -> httpx2.Response:
    """The HTTP response that an SDK's status error carries."""
    response: httpx2.Response = error.response  # type: ignore[attr-defined]
    return response


def malformed(detail: str) -> Reply:
    """A 200 that is no answer; it may have been billed."""
    return Reply(Outcome.MALFORMED, may_be_billed=True, detail=detail)


def _answered(line: Line, body: bytes, response: httpx2.Response) -> Reply:
    return _with_facts(line, _read(line, body, response), response)


def _streamed(line: Line, body: bytes, response: httpx2.Response, ear: Listener) -> Reply:
    if "text/event-stream" not in response.headers.get("content-type", ""):
        return _answered(line, body, response)  # a server that does not stream answers whole
    if ear.error is not None:
        reply = _failed_within(ear.error, body)
    elif ear.answer is not None:
        reply = line.read(ear.answer)
    else:
        detail = f"the answer broke off after {len(ear.text):,} characters"
        reply = Reply(Outcome.CONNECTION_LOST, detail=detail)
    return _with_facts(line, replace(reply, text=reply.text or ear.text), response)


def _failed_within(error: failures.ApiError, body: bytes) -> Reply:
    """An error amid a 200: what was written until then may have been billed."""
    outcome = failures.classify(failures.status_of(error), error)
    words = (" ".join(sorted(error.codes)), without_echo(error.message, body))
    return Reply(outcome, detail=": ".join(filter(None, ("an error in the stream", *words))))


def _with_facts(line: Line, reply: Reply, response: httpx2.Response) -> Reply:
    return replace(
        reply,
        text=safe_text(reply.text),
        status=response.status_code,
        may_be_billed=reply.usage is None,
        detail=one_line(reply.detail, key=line.key),
        **_facts(line, response),
    )


def _read(line: Line, body: bytes, response: httpx2.Response) -> Reply:
    try:
        answer = _decode(_content(line, response))
    except ValueError:
        return malformed(_not_json(response))
    if not isinstance(answer, dict):
        return malformed(f"the answer is a JSON {type(answer).__name__}, not an object")
    if "error" in answer and (error := failures.error_of(answer)):
        kind = " ".join(part for part in (error.kind, error.code) if part)
        return malformed(f"200 with an error: {kind} {without_echo(error.message, body)}")
    return line.read(answer)


def _content(line: Line, response: httpx2.Response) -> bytes:
    """The body; without the key where a server echoes it, for answers are kept and exported."""
    content = content_of(response)
    if line.key is None or len(line.key) < MIN_REDACTED_CHARS:
        return content
    return content.replace(line.key.encode(), b"[key]")


def _decode(content: bytes) -> Any:
    """Decoded JSON; raises ValueError. Lone surrogates, which orjson refuses, were paid for too."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            return json.loads(content.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _not_json(response: httpx2.Response) -> str:
    content = content_of(response)
    if not content.strip():
        return "an empty body"
    if content.lstrip()[:1] == b"<":
        title = failures.page_title(content)
        return f"an HTML page, {title!r}" if title else "an HTML page"
    return f"{len(content):,} bytes that are not whole JSON"


def _refused(line: Line, body: bytes, response: httpx2.Response) -> Reply:
    status = response.status_code
    error = failures.read_error(content_of(response)) or failures.ApiError(
        message=failures.page_title(content_of(response))
    )
    outcome = failures.classify(status, error)
    words = (
        f"HTTP {status}",
        " ".join(sorted(error.codes)),
        without_echo(error.message, body),
        failures.remedy(status, outcome),
    )
    return Reply(
        outcome,
        status=status,
        may_be_billed=failures.may_have_run(status),
        retry_after_seconds=failures.retry_after_seconds(
            response.headers, now=Clock().utcnow().timestamp()
        ),
        detail=one_line(": ".join(filter(None, words)), key=line.key),
        **_facts(line, response),
    )


def _lost(line: Line, error: Exception) -> Reply:
    cause = error.__cause__ or error
    if _is_out_of_memory(error):
        raise MemoryError from error
    if isinstance(cause, httpx2.DecodingError):
        return malformed("the answer's compression is broken")
    return Reply(
        Outcome.CONNECTION_LOST,
        may_be_billed=not isinstance(cause, NotSentError),
        is_lasting=isinstance(cause, OutOfReachError),
        detail=one_line(str(cause) or type(cause).__name__, key=line.key),
    )


def _is_out_of_memory(error: BaseException | None) -> bool:
    """What an SDK, and the event loop, take for a connection that was lost."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _facts(line: Line, response: httpx2.Response) -> dict[str, Any]:
    """Request id and the account's limits, as fields of a Reply."""
    request_id, limits = None, {}
    for raw_name, raw_value in response.headers.raw:
        name = raw_name.lower()
        if b"ratelimit" in name:
            limits[name.decode("ascii", "replace")] = raw_value.decode("latin-1")
        elif name in (b"request-id", b"x-request-id"):
            request_id = one_line(raw_value.decode("latin-1"), key=line.key, limit=100)
    if not limits:
        return {"request_id": request_id}
    now = quotas.server_time(response.headers) or Clock().utcnow()
    return {"request_id": request_id, "limits": quotas.read_limits(limits, now=now)}


def count(value: Any) -> int | None:
    """A token count of a provider's usage; None where it is none (absent counts as 0)."""
    if value is None:
        return 0
    return value if type(value) is int and value >= 0 else None


def delivery(reported: Any, asked: str | None) -> str | None:
    """How a request was served, as the provider says it; where it does not, as asked for."""
    if not isinstance(reported, str):
        return asked
    return None if reported in STANDARD_TIERS else reported


def consistent(usage: Usage) -> Usage | None:
    """The usage unless a bucket is negative: parts larger than their whole are no usage."""
    parts = (usage.uncached_input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h)
    return usage if min(*parts, usage.output, usage.reasoning) >= 0 else None
