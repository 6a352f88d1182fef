"""The values that travel between rooms: items, requests, replies, usage, attempts, outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

NO_COST = Decimal(0)
MAIN_STEP = "main"  # the name in the store of the one step of a job without `steps:`


class State(StrEnum):
    """Where an item is in a step."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"  # for an earlier step, whose failure it outlasts
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"  # its `if:` does not hold
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How an attempt ended; the one taxonomy over all providers."""

    SUCCEEDED = "succeeded"
    # the model answered, and it is billed, but the answer is no result
    TRUNCATED = "truncated"  # cut at max_tokens or at the context window
    REFUSED = "refused"  # the model or a content filter declined
    EMPTY = "empty"  # a normal stop with no text
    INVALID = "invalid"  # not JSON, or against the schema, or a check failed
    DOUBTED = "doubted"  # valid, and asked again of a larger model as `escalate:` says
    # the provider did not serve; worth another attempt
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 529, 503
    SERVER_ERROR = "server_error"  # 5xx, 408, 409, 425
    CONNECTION_LOST = "connection_lost"  # no connection, or lost before or amid the answer
    TIMED_OUT = "timed_out"  # the deadline passed
    MALFORMED = "malformed"  # 200 that is not an answer: HTML, an error object, cut JSON
    # the provider will never serve this request
    REJECTED = "rejected"  # 400, 413, 422
    TOO_LONG = "too_long"  # likewise: the prompt does not fit the model's context window
    # nothing will be served: the run stops, items stay pending
    AUTH_FAILED = "auth_failed"  # 401, 403
    QUOTA_EXHAUSTED = "quota_exhausted"  # no credit, spend limit reached
    UNKNOWN_MODEL = "unknown_model"  # 404
    # no attempt was made, nothing was spent
    UNRENDERABLE = "unrenderable"  # the prompt cannot be rendered for this item
    OVER_LIMIT = "over_limit"  # the request alone exceeds a limit
    # sent, and the process died before it was recorded: may have been billed
    UNKNOWN = "unknown"


class Purpose(StrEnum):
    """Which policy a further attempt was made for; an item's first attempt has none."""

    RETRY = "retry"  # the provider did not serve
    ON_TRUNCATED = "on_truncated"
    ON_INVALID = "on_invalid"
    ON_REFUSED = "on_refused"
    ON_TOO_LONG = "on_too_long"
    FALLBACK = "fallback"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Item:
    """One source record.

    key: stable identity, unique in the input. position: 0-based order in the input.
    fields: column name → value. place: where it stands, for messages (`data/a.csv:12`).
    """

    key: str
    position: int
    fields: Mapping[str, Any]
    place: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image or PDF that goes with a turn; read again when it is sent.

    digest: SHA-256 of its content. width, height: pixels of an image. pages: of a PDF.
    """

    path: Path
    media_type: str
    size_bytes: int
    digest: bytes
    width: int = 0
    height: int = 0
    pages: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; role is `user` or `assistant`."""

    role: str
    content: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What is the same in every request of a step; provider-neutral.

    `schema` is the user's own JSON Schema (the provider room makes its dialect of it), None for
    text.
    """

    provider: str
    model: str
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    metadata: Mapping[str, str] | None = None
    effort: str | None = None
    extra_body: Mapping[str, Any] | None = None
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CacheMark:
    """Up to where all requests of a step are the same, for the provider's prompt cache.

    parts: texts that are wholly the same, the system prompt first; chars: of the text after them.
    ttl: `5m` or `1h`. key: the same for equal beginnings. tokens: about how many they are.
    pays_from: requests from which on marking costs less than leaving it.
    """

    parts: int
    chars: int
    ttl: str
    key: str
    tokens: int = 0
    pays_from: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One provider-neutral call. How its answer and its prompt travel (streamed, through a cache)
    is no part of what it asks.
    """

    settings: ModelSettings
    system: str | None
    messages: tuple[Message, ...]
    max_tokens: int
    is_streamed: bool = False
    cache: CacheMark | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in disjoint buckets; `reasoning` is a part of `output`, not an addition to it."""

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def input(self) -> int:
        """All input tokens, cached or not."""
        return self.uncached_input + self.cache_read + self.cache_write_5m + self.cache_write_1h


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit of an account as it stood when a request was admitted.

    limit, remaining: requests or tokens in a period. reset_seconds: until all of it is free again
    (None where the provider does not say).
    """

    limit: int
    remaining: int
    reset_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LimitNotice:
    """The account's limits that one reply names; `tokens` is input and output together."""

    requests: Standing | None = None
    input_tokens: Standing | None = None
    output_tokens: Standing | None = None
    tokens: Standing | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back of one call. Never an exception: a failure is data.

    outcome: SUCCEEDED here means a normal stop with some text; validation comes later.
    text: what the model wrote, also of a truncated or refused reply. usage: None where the provider
    sent none. model: as resolved by the provider. may_be_billed: no usage is known, yet the
    provider may have generated an answer (timeout, reset in mid-body): charge the worst case.
    delivery: how it was served, where that has a price of its own (`flex`, `priority`, `batch`);
    None: the standard way. retry_after_seconds: the provider's own word; limits: likewise, None
    where it says nothing. is_lasting: there was no connection, and waiting does not mend why (a
    certificate, a proxy). detail: one line for a person, without keys or prompt.
    """

    outcome: Outcome
    text: str = ""
    usage: Usage | None = None
    delivery: str | None = None
    model: str | None = None
    status: int | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None
    may_be_billed: bool = False
    is_lasting: bool = False
    detail: str = ""
    limits: LimitNotice | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One provider call for one item and step, as the ledger records it before it is sent."""

    id: int
    item_id: int
    step: str
    number: int
    run_id: int
    launch_id: int
    model: str
    max_tokens: int
    input_tokens: int
    sent_at: datetime
    worst_cost: Decimal
    part: int = 0  # 0: the step as a whole
    purpose: Purpose | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended, as the ledger records it when it is closed.

    cost: confirmed by the provider's usage. unconfirmed_cost: what may have been billed beside it
    (the worst case where usage is missing). saved: by the provider's cache, below 0 where writing
    it cost more. answer: kept for answers that are no result.
    """

    attempt_id: int
    outcome: Outcome
    closed_at: datetime
    usage: Usage
    cost: Decimal = NO_COST
    unconfirmed_cost: Decimal = NO_COST
    latency_seconds: float = 0.0
    model: str | None = None
    status: int | None = None
    request_id: str | None = None
    detail: str = ""
    answer: str | None = None
    saved: Decimal = NO_COST
    delivery: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run was expected to cost and to take, all of it, before it was done.

    low and high bound 90 of 100 such runs; None where nothing tells how far it may be off. basis:
    `pilot`, `history` or `schema`. sample: items of the job that it was learnt from.
    """

    made_at: datetime
    basis: str
    sample: int
    items: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    cost_low_usd: Decimal | None
    cost_high_usd: Decimal | None
    seconds: float
    seconds_low: float | None
    seconds_high: float | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a result came from."""

    model: str | None
    cost_usd: Decimal
    attempts: int
    run: int
    time: datetime | None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One selected item with what became of it, as exports and the Python API hand it out.

    fields: the item's columns (empty where `retain.items` is false). result: a dict, list or
    scalar of a schema, a str without one, None unless succeeded. error: one line for a person,
    empty on success.
    """

    key: str
    fields: Mapping[str, Any]
    result: Any
    state: State
    error: str
    lineage: Lineage
