"""What a provider's refusal means: status, headers and error body → one outcome. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from batchai.domain import Outcome

_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "insufficient_balance",
    }
)
_QUOTA_WORDS = re.compile(r"API usage limits|credit balance is too low|insufficient balance", re.I)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_CONTEXT_WORDS = re.compile(
    r"maximum context length|prompt is too long|context (window|size)"
    r"|exceeds? the (available )?context",
    re.I,
)
_REFUSED_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
_UNSERVABLE = frozenset({400, 413, 422})
_ALONE_TOO_LARGE = "Request too large"
_BY_STATUS = {
    401: Outcome.AUTH_FAILED,
    402: Outcome.QUOTA_EXHAUSTED,
    403: Outcome.AUTH_FAILED,
    404: Outcome.UNKNOWN_MODEL,
    405: Outcome.UNKNOWN_MODEL,
    407: Outcome.AUTH_FAILED,
    408: Outcome.SERVER_ERROR,
    409: Outcome.SERVER_ERROR,
    410: Outcome.UNKNOWN_MODEL,
    425: Outcome.SERVER_ERROR,
    429: Outcome.RATE_LIMITED,
    499: Outcome.SERVER_ERROR,
    503: Outcome.OVERLOADED,
    529: Outcome.OVERLOADED,
}
_BY_KIND = {  # both providers' `type` and `code` of errors
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_HTML_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,120})", re.I)


@dataclass(frozen=True, slots=True)
class ApiError:
    """A provider's error object, flattened; absent parts are empty."""

    kind: str = ""  # `type` of either provider
    code: str = ""  # `code`, or Anthropic's `details.error_code`
    message: str = ""

    @property
    def codes(self) -> frozenset[str]:
        return frozenset({self.kind, self.code}) - {""}


def read_error(content: bytes) -> ApiError | None:
    """The error object of a body, of either provider's shape; None where there is none."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return error_of(body)


def error_of(body: Any) -> ApiError | None:
    """The error object within decoded JSON; None where there is none."""
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, str):
        return ApiError(message=error)
    if isinstance(error, dict):
        details = error.get("details")
        precise = details.get("error_code") if isinstance(details, dict) else None
        code = precise or error.get("code")
        return ApiError(_text(error.get("type")), _text(code), _text(error.get("message")))
    if body.get("object") == "error":  # older vLLM
        return ApiError(
            _text(body.get("type")), _text(body.get("code")), _text(body.get("message"))
        )
    return _validation_error(body)


def status_of(error: ApiError) -> int:
    """The HTTP status that an error within a stream would have come with."""
    return next((_BY_KIND[code] for code in error.codes if code in _BY_KIND), 500)


def classify(status: int, error: ApiError) -> Outcome:
    """The outcome of a status that is no success; the error's own words come first."""
    if 400 <= status < 500 and (outcome := _by_words(status, error)):
        return outcome
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        overloaded = "overloaded_error" in error.codes
        return Outcome.OVERLOADED if overloaded else Outcome.SERVER_ERROR
    # a redirect: the endpoint is not here, and that is so for every item
    return Outcome.REJECTED if status >= 400 else Outcome.UNKNOWN_MODEL


def remedy(status: int, outcome: Outcome) -> str:
    """What a person should know beside the provider's own words; often empty."""
    if 300 <= status < 400:
        return (
            "redirects are not followed, the prompt was not forwarded; "
            "set base_url to the final address"
        )
    if outcome is Outcome.TOO_LONG:
        return "the prompt is longer than the model's context window: see on_too_long"
    return ""


def is_too_long(error: ApiError) -> bool:
    """Whether the request was rejected because it does not fit the model's context window."""
    return bool(error.codes & _CONTEXT_CODES or _CONTEXT_WORDS.search(error.message))


def may_have_run(status: int) -> bool:
    """Whether a gateway gave up on a server that may have answered, and billed, all the same."""
    return status in (408, 499, 504, 524)


def retry_after_seconds(headers: Mapping[str, str], *, now: float) -> float | None:
    """The provider's own word: `retry-after-ms`, `retry-after` in seconds or as an HTTP date.

    now: the wall time, seconds since 1970. Never negative; None where absent or unreadable.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d+(\.\d*)?|\.\d+", value):
            return float(value) / unit
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def page_title(content: bytes) -> str:
    """What an HTML page calls itself (`502 Bad Gateway`), for messages."""
    found = _HTML_TITLE.search(content[:4096])
    return found[1].decode("utf-8", "replace").strip() if found else ""


def _by_words(status: int, error: ApiError) -> Outcome | None:
    if error.codes & _QUOTA_CODES or (status != 429 and _QUOTA_WORDS.search(error.message)):
        return Outcome.QUOTA_EXHAUSTED
    if status in _UNSERVABLE and is_too_long(error):
        return Outcome.TOO_LONG
    if "model_not_found" in error.codes:
        return Outcome.UNKNOWN_MODEL
    if status == 400 and error.codes & _REFUSED_CODES:
        return Outcome.REFUSED
    if status == 429 and error.message.startswith(_ALONE_TOO_LARGE):
        return Outcome.REJECTED  # above the token limit by itself: waiting would never help
    return None


def _validation_error(body: dict[str, Any]) -> ApiError | None:
    """FastAPI's shape; its `input` repeats the request, so only place and message are taken."""
    detail = body.get("detail")
    if isinstance(detail, str):
        return ApiError(message=detail)
    if not isinstance(detail, list):
        return None
    parts = [
        f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg', '')}"
        for one in detail
        if isinstance(one, dict) and isinstance(one.get("loc", ()), list | tuple)
    ]
    return ApiError(message="; ".join(parts))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
