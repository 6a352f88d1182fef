"""What a call gets: an error, a fault or an answer. The provider's mind, without HTTP."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from batchai.domain import Usage
from batchai.simulator.answering import compose, input_usage
from batchai.simulator.caching import Point, PromptCache
from batchai.simulator.delivery import Wire, streamed
from batchai.simulator.faults import Fault
from batchai.simulator.protocols.base import Answer, Dialect, ErrorShape
from batchai.simulator.record import Served
from batchai.simulator.requests import SimRequest
from batchai.simulator.settings import Settings
from batchai.simulator.windows import Account

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """A generation request on its way through the service."""

    dialect: Dialect
    request: SimRequest
    headers: Mapping[str, str]
    key: str
    size: int
    path: str
    in_flight: int

    @property
    def id(self) -> str:
        """Makes the ids of request and answer; the same in every rerun."""
        return f"{self.request.sequence:024d}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is served to a call."""

    served: Served
    wire: Wire
    fault: Fault | None = None
    usage: Usage | None = None
    answer: str | None = None
    service_tier: str | None = None


class Judge:
    """Decides on calls; keeps the accounts' windows. Used on one loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._accounts: dict[tuple[str, str], Account] = {}
        self._cache = PromptCache()

    @property
    def neighbours(self) -> tuple[int, int]:
        """How many requests of other users were served and refused."""
        accounts = self._accounts.values()
        return sum(a.neighbours_served for a in accounts), sum(
            a.neighbours_refused for a in accounts
        )

    async def judge(self, call: Call) -> Verdict:
        """Decide what the call gets; takes as long as the model does."""
        if (objection := self._objection(call)) is not None:
            return Verdict(Served.REJECTED, self._error(call, objection))
        fault = self._settings.faults(call.request, call.request.sequence)
        if fault is not None and (wire := self._failure(call, fault)) is not None:
            return Verdict(Served.FAULTY, wire, fault)
        if (refused := self._refused(call)) is not None:
            return refused
        return await self._answered(call, fault)

    def _objection(self, call: Call) -> ErrorShape | None:
        """Why the provider would not take the request, whoever is busy or not."""
        settings, request, errors = self._settings, call.request, call.dialect.errors
        if settings.keys is not None and call.key not in settings.keys:
            return errors[Fault.AUTH]
        if settings.require_key and not call.key:
            return errors[Fault.AUTH]
        if call.size > settings.max_body_bytes:
            return errors[Fault.TOO_LARGE]
        problem = call.dialect.objection(request, call.headers)
        if problem is None and settings.check_schemas:
            problem = call.dialect.schema_objection(request)
        if problem is not None:
            return errors[Fault.BAD_REQUEST].saying(problem)
        if settings.models is not None and request.model not in settings.models:
            return errors[Fault.UNKNOWN_MODEL].saying(f"model: {request.model} does not exist")
        return None

    def _failure(self, call: Call, fault: Fault) -> Wire | None:
        """The reply of a fault that leaves no answer, None for the others."""
        settings, dialect = self._settings, call.dialect
        match fault:
            case Fault.RATE_LIMITED:
                wait = dialect.retry_after(settings.retry_after_seconds)
                return self._error(call, dialect.errors[fault], wait)
            case Fault.BAD_GATEWAY:
                return Wire(502, _HTML, {}, "text/html")
            case Fault.OK_HTML:
                return Wire(200, _HTML, {}, "text/html")
            case Fault.OK_ERROR:
                return replace(self._error(call, dialect.errors[Fault.SERVER_ERROR]), status=200)
            case Fault.OK_EMPTY:
                return Wire(200, b"{}", self._headers(call))
            case Fault.STREAM_ERROR if not call.request.streams:
                return self._error(call, dialect.errors[Fault.SERVER_ERROR])
            case Fault.REDIRECT:
                return Wire(307, b"", {"Location": settings.redirect_url + call.path})
            case _ if fault in dialect.errors:
                return self._error(call, dialect.errors[fault])
            case _:
                return None

    def _refused(self, call: Call) -> Verdict | None:
        """The verdict on a call that exceeds the account's limits or the server's capacity."""
        account = self._account(call)
        if account is not None:
            charge = call.dialect.charge(call.request, self._input(call))
            if (excess := account.admit(_now(), charge)) is not None:
                wait = call.dialect.retry_after(excess.wait_seconds)
                return Verdict(Served.LIMITED, self._error(call, call.dialect.excess(excess), wait))
        capacity = self._settings.capacity
        refusing = capacity is not None and capacity.beyond == "overloaded"
        if capacity is not None and refusing and call.in_flight > capacity.slots:
            shape = call.dialect.errors[Fault.OVERLOADED]
            return Verdict(Served.OVERLOADED, self._error(call, shape))
        return None

    async def _answered(self, call: Call, fault: Fault | None) -> Verdict:
        answer = compose(call.request, self._settings, fault, usage=self._input(call))
        await asyncio.sleep(self._latency_seconds(call, answer.usage))
        if self._settings.caches:
            self._cache.keep(self._points(call), scope=_scope(call), now=_now())
        account = self._account(call)
        if account is not None:
            account.produced(_now(), call.dialect.produced(answer.usage))
        return Verdict(
            served=Served.ANSWERED if fault is None else Served.FAULTY,
            wire=self._reply(call, answer),
            fault=fault,
            usage=answer.usage,
            service_tier=answer.service_tier,
            answer=answer.text,
        )

    def _reply(self, call: Call, answer: Answer) -> Wire:
        reply = call.dialect.reply(answer, call.id)
        if not call.request.streams:
            return Wire(200, json.dumps(reply).encode(), self._headers(call))
        events = call.dialect.events(reply, call.request)
        if answer.fault is Fault.STREAM_ERROR:
            events = call.dialect.broken_off(events, f"req_{call.id}")
        writing = self._settings.latency.per_output_token_seconds * answer.usage.output
        return streamed(events, self._headers(call), seconds=writing * self._slowness(call))

    def _latency_seconds(self, call: Call, usage: Usage) -> float:
        """Until the reply begins: a stream does not wait for the answer to be written."""
        tokens = 0 if call.request.streams else usage.output
        return self._settings.latency.draw(call.request.sequence, tokens) * self._slowness(call)

    def _input(self, call: Call) -> Usage:
        """The request's input tokens, with what the cache holds of them now."""
        settings = self._settings
        usage = input_usage(call.request, settings)
        if not settings.caches or usage.uncached_input < usage.input:
            return usage
        return self._cache.usage(usage, self._points(call), scope=_scope(call), now=_now())

    def _points(self, call: Call) -> list[Point]:
        return call.dialect.cache_points(
            call.request, bytes_per_token=self._settings.bytes_per_token
        )

    def _slowness(self, call: Call) -> float:
        capacity = self._settings.capacity
        if capacity is None or capacity.beyond != "slow":
            return 1.0
        return max(1.0, call.in_flight / capacity.slots)

    def _account(self, call: Call) -> Account | None:
        if self._settings.limits is None:
            return None
        scope = (call.dialect.name, call.key)
        if scope not in self._accounts:
            self._accounts[scope] = Account(
                self._settings.limits, self._settings.neighbours, _now()
            )
        return self._accounts[scope]

    def _error(
        self, call: Call, shape: ErrorShape, headers: Mapping[str, str] | None = None
    ) -> Wire:
        body = json.dumps(call.dialect.error(shape, f"req_{call.id}")).encode()
        return Wire(shape.status, body, {**self._headers(call), **(headers or {})})

    def _headers(self, call: Call) -> dict[str, str]:
        account = self._account(call)
        standings = account.standings(_now()) if account else []
        return call.dialect.headers(call.id, standings)


def _scope(call: Call) -> str:
    """Whose cache it is: an account's, a model's, and of OpenAI a key's."""
    own = call.request.body.get("prompt_cache_key", "")
    return "\0".join((call.dialect.name, call.key, call.request.model, str(own)))


def _now() -> float:
    return asyncio.get_running_loop().time()
