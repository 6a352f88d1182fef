"""The job file as frozen values. Names are forever (README, "The job file")."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from batchai.domain import MAIN_STEP


class Strict(BaseModel):
    """Unknown fields, wrong types and later changes are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Sample(Strict):
    n: int
    seed: int = 0


class SqlInput(Strict):
    url: str
    query: str


class Input(Strict):
    """Where items come from: either `path` (absolute, perhaps a glob; "-" is stdin) or `sql`."""

    path: str | None = None
    sql: SqlInput | None = None
    key: tuple[str, ...] = ()  # () = content hash + occurrence number
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "files"] | None = None
    encoding: str = "utf-8"
    where: str | None = None
    limit: int | None = None
    sample: Sample | None = None
    on_bad_row: Literal["stop", "skip"] = "stop"
    roots: tuple[Path, ...] = ()  # resolved folders that files of a glob must lie in; () = anywhere


class Price(Strict):
    """USD per million tokens."""

    input_mtok: Decimal
    output_mtok: Decimal
    cache_read_mtok: Decimal | None = None
    cache_write_mtok: Decimal | None = None


class Model(Strict):
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


class PromptMessage(Strict):
    role: Literal["user", "assistant"]
    content: str


class Prompt(Strict):
    """Templates with their text loaded (`{file: …}` is resolved by the loader)."""

    system: str | None = None
    messages: tuple[PromptMessage, ...] = ()  # prior turns and few-shot
    user: str | None = None


class Output(Strict):
    path: Path | None = None  # absolute; None: NAME.results.csv beside the job file's store
    failed: Literal["keep", "drop"] = "keep"
    lineage: bool = False


class Limits(Strict):
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    input_tokens_per_day: int | None = None
    output_tokens_per_day: int | None = None
    concurrency: int | Literal["auto"] = 8
    max_wait_seconds: float = 3600.0  # `max_wait: 1h`


class StopIf(Strict):
    failed_share: Decimal = Decimal("0.5")  # `failed: 50%`
    of_last: int = 100


class Grow(Strict):
    grow: int  # ask again with a larger max_tokens, up to this


class Repair(Strict):
    repair: int  # ask again n times with the error as feedback
    then: Literal["fail"] | dict[str, Any] = "fail"  # fail, or fixed values


class Fixed(Strict):
    values: dict[str, Any]  # fixed values in place of an answer


Policy = Literal["retry", "fail"] | Grow | Repair | Fixed


class Policies(Strict):
    """What follows an answer that is no result."""

    on_truncated: Policy = Grow(grow=4096)
    on_invalid: Policy = Repair(repair=2)
    on_refused: Policy = "fail"
    on_unknown: Literal["retry", "hold"] = "retry"


class Retain(Strict):
    items: bool = True
    answers: bool = True


class Allowed(Strict):
    """`allow_failed`: a number of items, or a share of them."""

    number: int | None = 0
    share: Decimal | None = None


class Step(Strict):
    """One prompt-and-model stage. `schema` is complete JSON Schema, None for plain text."""

    name: str = MAIN_STEP
    model: Model
    prompt: Prompt
    json_schema: dict[str, Any] | None = None
    policies: Policies = Policies()


class Job(Strict):
    """A loaded job: paths absolute, files read, shorthand expanded, overrides applied."""

    name: str
    path: Path  # of the job file
    vars: dict[str, Any] = {}
    input: Input
    steps: tuple[Step, ...]
    output: Output = Output()
    expect: dict[str, str] = {}
    limits: Limits = Limits()
    budget_usd: Decimal | None = None
    stop_if: StopIf | None = StopIf()
    allow_failed: Allowed = Allowed()
    attempts: int = 5
    retain: Retain = Retain()

    @property
    def store_path(self) -> Path:
        """`.batchai/NAME.db` beside the job file."""
        return self.path.parent / ".batchai" / f"{self.name}.db"
