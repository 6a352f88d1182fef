"""The job file as frozen values. Names are forever (README, "The job file").

Types are strict here; values are checked, with their place, where they are read (`fields.py`).
"""

from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from batchai.domain import MAIN_STEP, Outcome

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[Decimal, Field(gt=0, le=1)]
UsdPerMtok = Annotated[Decimal, Field(ge=0)]
Factor = Annotated[Decimal, Field(gt=0)]


DELIVERIES = ("batch", "flex", "priority", "fast")  # that have prices of their own
STANDARD_TIERS = frozenset({"auto", "default", "standard", "standard_only"})
NEWS = ("ended", "stopped", "stalled", "budget_50", "budget_90")


class Strict(BaseModel):
    """Unknown fields, wrong types and later changes are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Sample(Strict):
    """`n` items drawn at random; the same seed draws the same."""

    n: Positive
    seed: int = 0


class SqlInput(Strict):
    """Rows of one SELECT. `url` may hold a password, so it shows in no repr."""

    url: str = Field(repr=False)
    query: str


class Input(Strict):
    """Where items come from: `path` (absolute, perhaps a glob; "-" is stdin) or `sql`.

    Neither, where items are handed in from Python.
    """

    path: str | None = None
    sql: SqlInput | None = None
    key: tuple[str, ...] = ()  # () = content hash + occurrence number
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "files"] | None = None
    encoding: str = "utf-8"
    where: str | None = None
    limit: int | None = None  # the first N of the input, not N more
    sample: Sample | None = None
    on_bad_row: Literal["stop", "skip"] = "stop"
    roots: tuple[Path, ...] = ()  # resolved folders that files of a glob must lie in; () = anywhere

    @model_validator(mode="after")
    def _has_no_two_sources(self) -> Self:
        if self.path is not None and self.sql is not None:
            raise ValueError("an input has path or sql, not both")
        return self


class Price(Strict):
    """USD per million tokens; what has no price of its own costs what the wider bucket costs.

    cache_write_mtok: to a cache of five minutes. delivery: what all of it is multiplied by where a
    request was served in another way than the standard one.
    """

    input_mtok: UsdPerMtok
    output_mtok: UsdPerMtok
    cache_read_mtok: UsdPerMtok | None = None
    cache_write_mtok: UsdPerMtok | None = None
    cache_write_1h_mtok: UsdPerMtok | None = None
    reasoning_mtok: UsdPerMtok | None = None
    delivery: dict[str, Factor] = {}


class Model(Strict):
    """Which model answers, where, and with which settings; None leaves one to the default.

    What a model does not take is refused by its provider, which knows.
    """

    name: str  # provider/name
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    metadata: dict[str, str] | None = None
    effort: str | None = None
    extra_body: dict[str, Any] | None = None
    base_url: str | None = None
    api_key_env: str | None = None  # "none": a keyless server
    price: Price | Literal["none"] | None = None

    @property
    def provider(self) -> str:
        """`openai` of `openai/gpt-5.4-mini`."""
        return self.name.partition("/")[0]

    @property
    def id(self) -> str:
        """`gpt-5.4-mini` of `openai/gpt-5.4-mini`."""
        return self.name.partition("/")[2]

    @property
    def delivery(self) -> str | None:
        """`flex` where `extra_body: {service_tier: flex}` asks for it; None: the standard way."""
        tier = (self.extra_body or {}).get("service_tier")
        return None if tier is None or str(tier) in STANDARD_TIERS else str(tier)


class PromptMessage(Strict):
    """One prior turn; `content` is a template."""

    role: Literal["user", "assistant"]
    content: str


class Prompt(Strict):
    """Templates with their text loaded (`{file: …}` is resolved by the loader)."""

    system: str | None = None
    messages: tuple[PromptMessage, ...] = ()  # prior turns and few-shot
    user: str | None = None
    attachments: tuple[str, ...] = ()  # templates of paths, of files that go with `user`
    turns: tuple[str, ...] | str | None = None  # templates, or an expression that gives a list


class History(Strict):
    """Condenses a conversation: when so many exchanges stand, all but the last become a summary."""

    summarise_after: Positive
    model: Model


class Reduction(Strict):
    """One prompt over the results of the step `of`, in a tree: up to `fan_in` of them, and
    up to `max_chars` of JSON text, in a request. by: an expression that groups items; None: all
    are one group."""

    of: str
    by: str | None = None
    fan_in: Annotated[int, Field(ge=2)] = 20
    max_chars: Positive = 40_000


class Output(Strict):
    """Where results go. The loader always fills in `path`.

    The default is beside the job file: `NAME.results.csv` for tables (CSV, TSV, XLSX, Parquet,
    SQL), `NAME.results.jsonl` for everything else.
    """

    path: Path | None = None  # absolute
    failed: Literal["keep", "drop"] = "keep"
    lineage: bool = False


class Limits(Strict):
    """What an account allows in any 60 seconds or 24 hours (the gate refuses what is below 1)."""

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    input_tokens_per_day: int | None = None
    output_tokens_per_day: int | None = None
    concurrency: int | Literal["auto"] = 8
    max_wait_seconds: float = Field(default=3600.0, ge=0)  # `max_wait: 1h`


class StopIf(Strict):
    """Stops a run when so large a share of the items settled last has failed."""

    failed_share: Share = Decimal("0.5")  # `failed: 50%`
    of_last: Positive = 50


class Grow(Strict):
    """Asks again with a larger `max_tokens`, up to `grow`."""

    grow: Positive


class Repair(Strict):
    """Asks again up to `repair` times with the error as feedback; then fails, or fixed values."""

    repair: int = Field(ge=0)
    then: Literal["fail"] | dict[str, Any] = "fail"


class Fixed(Strict):
    """Fixed values of result fields in place of an answer."""

    values: dict[str, Any]


class Split(Strict):
    """Asks on the parts of a text that does not fit, each of which does.

    into: how the parts' answers come to one result: `ask`, one more request over them; or `join`,
    without one: texts and lists one after the other.
    """

    into: Literal["ask", "join"] = "ask"


Policy = Literal["retry", "fail"] | Grow | Repair | Fixed


class Fallback(Strict):
    """Models that are asked one after the other where the one before came to nothing.

    on: the outcomes to go on after; None: whatever would fail the item.
    """

    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    on: tuple[Outcome, ...] | None = None


class Escalate(Strict):
    """A larger model is asked again where a valid answer is in doubt: `condition` holds."""

    condition: str  # `if:`
    model: Model


class Policies(Strict):
    """What follows an answer that is no result, or one that is in doubt.

    Whoever is asked has a number: the step's own model 0, then those of `fallback`, then `larger`.
    """

    on_truncated: Policy = Grow(grow=4096)
    on_invalid: Policy = Repair(repair=2)
    on_refused: Policy = "fail"
    on_unknown: Literal["retry", "hold"] = "retry"
    on_too_long: Literal["truncate", "fail"] | Split = "fail"
    fallback: Fallback | None = None
    escalate: Escalate | None = None

    @property
    def fallbacks(self) -> tuple[Model, ...]:
        """The models of `fallback`, in order."""
        return self.fallback.models if self.fallback is not None else ()

    @property
    def larger(self) -> int | None:
        """The number of the model that doubted answers are asked again of."""
        return None if self.escalate is None else len(self.fallbacks) + 1

    @property
    def further_models(self) -> tuple[Model, ...]:
        """Those that may be asked beside the step's own, by their numbers from 1 on."""
        larger = () if self.escalate is None else (self.escalate.model,)
        return (*self.fallbacks, *larger)


class Holds(Strict):
    """A check: an expression over result, item, vars and steps that must hold."""

    expression: str


class Function(Strict):
    """A check: a Python function of a file below the job's folder, with the very text of it."""

    name: str  # as written: file.py:function
    path: Path
    source: bytes = Field(repr=False)

    @property
    def function(self) -> str:
        """`total` of `checks.py:total`."""
        return self.name.rpartition(":")[2]

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.source).hexdigest()


Check = Holds | Function


class Retain(Strict):
    """What the store keeps of personal data."""

    items: bool = True
    answers: bool = True


class Allowed(Strict):
    """`allow_failed`: a number of items, or a share of them; one of the two is None."""

    number: Annotated[int, Field(ge=0)] | None = 0
    share: Annotated[Decimal, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.number is None) == (self.share is None):
            raise ValueError("allow_failed is a number or a share")
        return self


class Step(Strict):
    """One prompt-and-model stage. `schema` is complete JSON Schema, None for plain text.

    condition: an expression; where it does not hold, the step is skipped. foreach: an expression
    that gives a list, each element of which is a request of its own.
    """

    name: str = MAIN_STEP
    model: Model
    prompt: Prompt
    json_schema: dict[str, Any] | None = None
    checks: tuple[Check, ...] = ()
    policies: Policies = Policies()
    cache: Literal["auto", "off", "5m", "1h"] = "auto"
    condition: str | None = None  # `if:`
    foreach: str | None = None
    reduction: Reduction | None = None  # `reduce:`
    history: History | None = None


class Notify(Strict):
    """Who is told how a run goes, and of which news. ${VAR} is filled in when it is told.

    origin: the project file that says so, which its user has to trust first.
    """

    origin: Path
    command: tuple[str, ...] = ()
    webhook: str | None = Field(default=None, repr=False)
    apprise: tuple[str, ...] = Field(default=(), repr=False)
    on: tuple[str, ...] = NEWS


class Job(Strict):
    """A loaded job: paths absolute, files read, shorthand expanded, overrides applied."""

    name: str = Field(min_length=1, pattern=r"^[^/\\\x00]+$")  # part of a file name
    path: Path  # of the job file, absolute
    vars: dict[str, Any] = {}
    input: Input
    steps: tuple[Step, ...] = Field(min_length=1)
    output: Output = Output()
    expect: dict[str, str] = {}
    limits: Limits = Limits()
    budget_usd: Annotated[Decimal, Field(gt=0)] | None = None
    stop_if: StopIf | None = StopIf()
    allow_failed: Allowed = Allowed()
    attempts: Positive = 5  # per item and run
    dedupe: bool = False
    retain: Retain = Retain()
    notify: Notify | None = None
    overridden: frozenset[str] = frozenset()  # dotted fields that the command line gave
    places: dict[str, str] = {}  # where each dotted field was written: jobs/a.yaml:12
    compared_as: str | None = None  # the stem of a store in `comparisons_folder`

    @property
    def item_steps(self) -> tuple[Step, ...]:
        """The steps that each item goes through, in order."""
        return tuple(step for step in self.steps if step.reduction is None)

    @property
    def step_names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(step.name for step in self.item_steps)

    @property
    def reductions(self) -> tuple[Step, ...]:
        """The steps after them, over the results of many items."""
        return tuple(step for step in self.steps if step.reduction is not None)

    @property
    def store_path(self) -> Path:
        """`.batchai/NAME.db` beside the job file; each model of a comparison has one of its own."""
        if self.compared_as is not None:
            return self.comparisons_folder / f"{self.compared_as}.db"
        return self.path.parent / ".batchai" / f"{self.name}.db"

    @property
    def comparisons_folder(self) -> Path:
        """Where `compare` keeps a store for each model, beside the job's."""
        return self.path.parent / ".batchai" / f"{self.name}.compare"
