"""What can go wrong on purpose, and plans that say when.

A plan is any callable `(request, arrival_index) -> Fault | None`; arrival_index counts from 0.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from batchai.errors import SpecError
from batchai.simulator.requests import SimRequest


class Fault(StrEnum):
    """One way in which a request goes wrong."""

    # an error answer in the provider's own shape; nothing is billed
    RATE_LIMITED = "rate_limited"  # 429 with Retry-After
    RATE_LIMITED_BARE = "rate_limited_bare"  # 429 without
    QUOTA = "quota"  # 429: no credit (openai), tier spend limit (anthropic)
    SPEND_LIMIT = "spend_limit"  # 400 of anthropic, as QUOTA for openai
    PAYMENT_REQUIRED = "payment_required"  # 402
    AUTH = "auth"  # 401
    FORBIDDEN = "forbidden"  # 403
    UNKNOWN_MODEL = "unknown_model"  # 404
    BAD_REQUEST = "bad_request"  # 400
    REQUEST_TIMEOUT = "request_timeout"  # 408
    CONFLICT = "conflict"  # 409
    TOO_LARGE = "too_large"  # 413
    UNPROCESSABLE = "unprocessable"  # 422
    SERVER_ERROR = "server_error"  # 500
    UNAVAILABLE = "unavailable"  # 503
    GATEWAY_TIMEOUT = "gateway_timeout"  # 504
    OVERLOADED = "overloaded"  # 529 of anthropic, 503 of openai
    # not the provider's shape; nothing is billed
    BAD_GATEWAY = "bad_gateway"  # 502 with an HTML body
    OK_HTML = "ok_html"  # 200 with an HTML body
    OK_ERROR = "ok_error"  # 200 with an error object
    OK_EMPTY = "ok_empty"  # 200 with {}
    REDIRECT = "redirect"  # 307 to Settings.redirect_url
    # the connection fails; the answer was generated and is billed
    HANG = "hang"  # nothing ever comes
    STALL = "stall"  # headers and half of the body, then silence
    RESET = "reset"  # connection reset before headers
    RESET_MID_BODY = "reset_mid_body"
    DRIP = "drip"  # a byte every Settings.drip_seconds
    CUT_BODY = "cut_body"  # half of the JSON or of the events, sent as if it were all
    STREAM_ERROR = "stream_error"  # an error in mid-stream; SERVER_ERROR where nothing is streamed
    # an answer that is no result; billed
    TRUNCATED = "truncated"  # stopped at max_tokens
    CONTEXT_EXCEEDED = "context_exceeded"  # 200 and billed (anthropic), 400 (openai)
    REFUSED = "refused"
    CONTENT_FILTER = "content_filter"  # finish_reason of openai; as REFUSED for anthropic
    INVALID_JSON = "invalid_json"
    SCHEMA_VIOLATION = "schema_violation"
    NAN = "nan"
    EMPTY_TEXT = "empty_text"  # text is ""
    NO_CONTENT = "no_content"  # content [] (anthropic), choices [] (openai)
    NULL_CONTENT = "null_content"
    # an answer that is usable with care; billed
    FENCED = "fenced"  # ```json around it
    PROSE = "prose"  # sentences around it
    SURROGATES = "surrogates"  # a lone surrogate in a string
    HUGE = "huge"  # padded to Settings.huge_bytes
    MISSING_USAGE = "missing_usage"


FaultPlan = Callable[[SimRequest, int], Fault | None]

# a provider on an ordinary day
USUAL: Mapping[Fault, float] = {
    Fault.RATE_LIMITED: 0.01,
    Fault.OVERLOADED: 0.005,
    Fault.SERVER_ERROR: 0.005,
    Fault.BAD_GATEWAY: 0.001,
    Fault.RESET: 0.002,
    Fault.HANG: 0.001,
    Fault.TRUNCATED: 0.002,
    Fault.INVALID_JSON: 0.005,
    Fault.REFUSED: 0.001,
}


def no_faults(_request: SimRequest, _index: int) -> Fault | None:
    """The plan of a provider that always works."""
    return None


def scripted(script: Sequence[Fault | None]) -> FaultPlan:
    """The n-th arrival gets the n-th entry; later arrivals are served."""
    return lambda _request, index: script[index] if index < len(script) else None


def seeded(seed: int, shares: Mapping[Fault, float]) -> FaultPlan:
    """Each fault on its share of requests (0.05 = 5 %).

    Chosen by seed, prompt and how often the prompt came, hence the same in whatever order requests
    arrive.
    """
    if not 0 <= sum(shares.values()) <= 1:
        raise ValueError(f"seeded: the shares add up to {sum(shares.values())}, give at most 1")

    def plan(request: SimRequest, _index: int) -> Fault | None:
        point = _point(f"{seed}\0{request.attempt}\0{request.system}\0{request.prompt}")
        for fault, share in shares.items():
            if point < share:
                return fault
            point -= share
        return None

    return plan


def shares_of(texts: Iterable[str]) -> dict[Fault, float]:
    """Shares by fault of `rate_limited=5%`, `hang=0.001` or `usual`; a later one wins.

    Raises SpecError, naming what is wrong and what there is.
    """
    shares: dict[Fault, float] = {}
    for text in texts:
        shares |= USUAL if text == "usual" else dict([_share(text)])
    if (total := sum(shares.values())) > 1:
        raise SpecError(f"faults: their shares add up to {total:.0%}, give at most 100% in all")
    return shares


def first_attempts(count: int, fault: Fault, *, containing: str = "") -> FaultPlan:
    """The fault on the first `count` arrivals of every prompt that contains the text."""
    return lambda request, _index: (
        fault if request.attempt <= count and containing in request.prompt else None
    )


def _share(text: str) -> tuple[Fault, float]:
    name, _, amount = text.partition("=")
    if name not in set(Fault):
        raise SpecError(
            f"fault {text}: must be usual, or FAULT=SHARE with one of {', '.join(Fault)}"
        )
    try:
        share = float(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise SpecError(
            f"fault {text}: needs a share of requests, such as {name}=2% or {name}=0.02"
        )
    return Fault(name), share


def _point(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
