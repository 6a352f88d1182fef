"""What the simulated provider does with one HTTP request."""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from batchai.domain import Usage
from batchai.simulator.answering import input_usage, tokens_in
from batchai.simulator.delivery import Delivery, Departures
from batchai.simulator.judging import Call, Judge
from batchai.simulator.protocols.anthropic import Anthropic
from batchai.simulator.protocols.base import Answer, Dialect, ErrorShape, Finish
from batchai.simulator.protocols.openai import OpenAI
from batchai.simulator.record import Received, Record
from batchai.simulator.requests import SimRequest
from batchai.simulator.settings import Settings

FIXED_INPUT_TOKENS = 100  # what the fast path bills for every prompt
_STREAMS = re.compile(rb'"stream":\s*true')  # within a prompt the quotes would be escaped
_SECRET_HEADERS = frozenset(("authorization", "x-api-key"))
_DEFAULT_MODELS = ("claude-haiku-4-5", "gpt-5.4-mini")
_CREATED = "2026-01-01T00:00:00Z"


class Service:
    """Serves requests on the loop that it was made on."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self.open = asyncio.Event()  # while clear, requests arrive and wait
        self.open.set()
        self.problem: Exception | None = None  # the first error of a hook, or of the simulator
        self.judge = Judge(settings)
        self.departures = Departures()
        self._delivery = Delivery(self.departures, drip_seconds=settings.drip_seconds)
        self._settings = settings
        self._record = record
        self._attempts: Counter[int] = Counter()  # by hash: prompts may be long, and many
        self._anthropic, self._openai = Anthropic(), OpenAI()
        self._generators: dict[str, Dialect] = {
            "/v1/messages": self._anthropic,
            "/v1/chat/completions": self._openai,
            "/chat/completions": self._openai,
        }
        self._fixed = {
            path: _fixed(dialect, settings) for path, dialect in self._generators.items()
        }

    async def serve(self, http: web.BaseRequest) -> web.StreamResponse:
        """The reply to any request."""
        dialect = self._generators.get(http.path) if http.method == "POST" else None
        if dialect is None:
            return await self._serve_other(http)
        with self._record.flight() as in_flight:
            if self._settings.fixed_answer is not None:
                return await self._serve_fixed(http)
            try:
                return await self._serve_call(http, dialect, in_flight)
            except ConnectionError:  # the client left while it was sending
                raise
            except Exception as problem:
                self.problem = self.problem or problem
                raise

    async def _serve_fixed(self, http: web.BaseRequest) -> web.StreamResponse:
        raw = await http.read()
        self._record.tick(_now())
        if self._settings.latency.seconds:
            await asyncio.sleep(self._settings.latency.seconds)
        whole, events = self._fixed[http.path]
        if _STREAMS.search(raw):
            return web.Response(body=events, content_type="text/event-stream")
        return web.Response(body=whole, content_type="application/json")

    async def _serve_call(
        self, http: web.BaseRequest, dialect: Dialect, in_flight: int
    ) -> web.StreamResponse:
        arrived_at = _now()
        raw = await http.read()
        headers = {name.lower(): value for name, value in http.headers.items()}
        call = Call(
            dialect=dialect,
            request=self._numbered(dialect.read(_parsed(raw))),
            headers=headers,
            key=_key(headers),
            size=len(raw),
            path=http.path,
            in_flight=in_flight,
        )
        self._record.arrive(self._received(call, arrived_at))
        await self.open.wait()
        verdict = await self.judge.judge(call)
        self._record.finish(
            call.request.sequence,
            served=verdict.served,
            fault=verdict.fault,
            status=verdict.wire.status,
            usage=verdict.usage,
            service_tier=verdict.service_tier,
            answer=verdict.answer if self._settings.keep_content else None,
            served_at=_now(),
            client_present=http.transport is not None and not http.transport.is_closing(),
        )
        return await self._delivery.deliver(http, verdict.wire, verdict.fault)

    def _received(self, call: Call, arrived_at: float) -> Received:
        request = call.request
        keep = self._settings.keep_content
        headers = {n: v for n, v in call.headers.items() if n not in _SECRET_HEADERS}
        return Received(
            sequence=request.sequence,
            arrived_at=arrived_at,
            provider=request.provider,
            model=request.model,
            prompt=request.prompt if keep else "",
            system=request.system if keep else None,
            max_tokens=request.max_tokens,
            body=request.body if keep else {},
            headers=headers if keep else {},
            key_hash=hashlib.sha256(call.key.encode()).hexdigest()[:16] if call.key else "",
        )

    def _numbered(self, request: SimRequest) -> SimRequest:
        prompt = hash((request.system, request.prompt))
        self._attempts[prompt] += 1
        sequence = self._record.arrived_count
        return replace(request, attempt=self._attempts[prompt], sequence=sequence)

    async def _serve_other(self, http: web.BaseRequest) -> web.StreamResponse:
        """Model lists, token counts, the simulator's own report; 404 for what no provider has."""
        match http.method, http.path:
            case "GET", "/v1/models":
                return web.json_response(self._models(http))
            case "GET", "/simulator/report":
                return web.json_response(self._report())
            case "POST", "/v1/messages/count_tokens":
                request = self._anthropic.read(_parsed(await http.read()))
                return web.json_response(
                    {"input_tokens": input_usage(request, self._settings).input}
                )
        shape = ErrorShape(404, "not_found_error", f"Unknown URL ({http.method} {http.path})")
        return web.json_response(self._dialect_of(http).error(shape, "req_none"), status=404)

    def _dialect_of(self, http: web.BaseRequest) -> Dialect:
        return self._anthropic if "anthropic-version" in http.headers else self._openai

    def _models(self, http: web.BaseRequest) -> dict[str, Any]:
        names = sorted(self._settings.models or _DEFAULT_MODELS)
        if self._dialect_of(http) is self._openai:
            data = [
                {"id": n, "object": "model", "created": 0, "owned_by": "simulated"} for n in names
            ]
            return {"object": "list", "data": data}
        models = [
            {"type": "model", "id": n, "display_name": n, "created_at": _CREATED} for n in names
        ]
        return {"data": models, "has_more": False, "first_id": names[0], "last_id": names[-1]}

    def _report(self) -> dict[str, Any]:
        served, refused = self.judge.neighbours
        return {
            "arrived": self._record.arrived_count,
            "served": self._record.served_count,
            "in_flight_peak": self._record.in_flight_peak,
            "worst_minute": self._record.worst_window(60.0),
            "worst_second": self._record.worst_window(1.0),
            "neighbours_served": served,
            "neighbours_refused": refused,
        }


def _parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body; {} if it is none."""
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _key(headers: Mapping[str, str]) -> str:
    bearer = headers.get("authorization", "")
    if bearer.lower().startswith("bearer "):
        return bearer[len("bearer ") :].strip()
    return headers.get("x-api-key", "")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _fixed(dialect: Dialect, settings: Settings) -> tuple[bytes, bytes]:
    """The one reply, as JSON and as events (with usage, whether it was asked for or not)."""
    text = settings.fixed_answer or ""
    usage = Usage(uncached_input=FIXED_INPUT_TOKENS, output=tokens_in(text, settings))
    answer = Answer(text, Finish.NORMAL, usage, "fixed-answer")
    reply = dialect.reply(answer, "fixed")
    events = dialect.events(reply, dialect.read({"stream_options": {"include_usage": True}}))
    return json.dumps(reply).encode(), b"".join(events)
