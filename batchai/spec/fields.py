"""Every field of the job file and the project file: how it is read, what editors say about it."""

from collections.abc import Mapping
from typing import Any

from batchai.spec.addresses import BaseUrl, NoticeUrl, SqlUrl, key_problem
from batchai.spec.amounts import Duration, Money, Share, ShareOrNumber
from batchai.spec.checks import CHECKS, OfResult
from batchai.spec.document import KEY_REMEDY, Listing, Table, wrong
from batchai.spec.kinds import (
    Anything,
    Choice,
    Encoding,
    Flag,
    NotYet,
    Number,
    Text,
    Version,
    Whole,
)
from batchai.spec.models import NEWS
from batchai.spec.paths import FilePath, InputPath
from batchai.spec.policies import (
    ON_INVALID,
    ON_REFUSED,
    ON_TOO_LONG,
    ON_TRUNCATED,
    FallbackOutcome,
)
from batchai.spec.prices import PRICE, Prices
from batchai.spec.sections import Field, ListOf, MapOf, Or, Section, is_key_field, nearest
from batchai.spec.shorthand import SchemaKind
from batchai.spec.steps import Steps
from batchai.spec.texts import PROMPT, Expression, FileText

JOB_NAME = r"\w[\w.\- ]{0,98}\w|\w"
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "files")
# what batchai itself puts into a request: set beside it, these would break budget or parsing
RESERVED_BODY_FIELDS = frozenset({
    "model", "messages", "system", "input", "instructions", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "stream", "n", "best_of", "response_format", "output_config",
})  # fmt: skip


def _check_input(table: Table, values: Mapping[str, Any]) -> None:
    given = [name for name in ("path", "sql") if name in table.entries]
    if len(given) != 1:
        raise wrong(table, "needs one of `path:` and `sql:`" + (", not both" if given else ""))
    if "sql" in given and ("format" in values or "encoding" in values):
        raise wrong(table, "`format` and `encoding` are for files, not for sql")


def _check_model(table: Table, values: Mapping[str, Any]) -> None:
    for name in values.get("extra_body", {}):
        if name in RESERVED_BODY_FIELDS:
            raise wrong(table, f"extra_body.{name} is set by batchai itself: take it out")
        if is_key_field(name):
            raise wrong(table, f"extra_body.{name}: {KEY_REMEDY}")
    if "name" not in values:
        return
    provider, _, model = values["name"].partition("/")
    if provider not in PROVIDERS:
        server = f"any compatible server is openai/{model} with a base_url"
        raise wrong(
            table.entries["name"],
            f"no provider {provider}; {nearest(provider, PROVIDERS)}; {server}",
        )
    if "base_url" in values:
        problem = key_problem(provider, values["base_url"], values.get("api_key_env"))
        if problem:
            raise wrong(table.entries["base_url"], problem + " (model.api_key_env)")


SAMPLE = Section(
    {
        "n": Field(Whole(), "How many items, drawn at random.", is_required=True),
        "seed": Field(Whole(0), "The same seed draws the same items."),
    }
)

SQL = Section(
    {
        "url": Field(SqlUrl(), "SQLAlchemy URL; ${VAR} is expanded.", is_required=True),
        "query": Field(FileText(), "One SELECT; it is run read-only.", is_required=True),
    }
)

INPUT = Section(
    {
        "path": Field(
            InputPath(),
            "CSV, TSV, JSONL, JSON, Parquet, XLSX, a folder or glob of documents, or -.",
        ),
        "sql": Field(SQL, "Rows of a database query instead of a file."),
        "key": Field(
            ListOf(Text("a column name"), lone=True),
            "The column, or columns, that identify an item.",
        ),
        "format": Field(Choice(FORMATS), "Default: by the file's suffix."),
        "encoding": Field(Encoding(), "Default: utf-8."),
        "where": Field(Expression(), 'Only items for which this holds: item.plan != "free".'),
        "limit": Field(Whole(), "The first N items of the input."),
        "sample": Field(SAMPLE, "A random sample of the input."),
        "on_bad_row": Field(
            Choice(("stop", "skip")), "Default: stop, resumable; skip counts and lists the row."
        ),
    },
    short="path",
    check=_check_input,
)

PROVIDERS = ("anthropic", "openai", "local")  # any compatible server is openai with a base_url
MODEL_NAME = Text(
    "provider/name, such as anthropic/claude-haiku-4-5 or openai/gpt-5.4-mini",
    r"[a-z][a-z0-9_-]*/[^\s].*",
)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

MODEL = Section(
    {
        "name": Field(MODEL_NAME, "provider/name.", is_required=True),
        "max_tokens": Field(Whole(), "Upper bound of an answer; default: from the schema."),
        "temperature": Field(Number(0, 2), "Refused where the model does not take it."),
        "top_p": Field(Number(0, 1), "Refused where the model does not take it."),
        "stop": Field(
            ListOf(Text("a stop sequence"), lone=True), "Texts at which the model stops."
        ),
        "metadata": Field(MapOf(Text()), "Names and texts passed on to the provider."),
        "effort": Field(Choice(EFFORTS), "How much a reasoning model thinks."),
        "extra_body": Field(
            MapOf(Anything()), "Further fields of the request, passed on as they are."
        ),
        "base_url": Field(
            BaseUrl(), "Another server: https, or http on this machine; ${VAR} is expanded."
        ),
        "api_key_env": Field(
            Text(
                "the name of an environment variable such as MY_SERVER_KEY, or none",
                r"[A-Z_][A-Z0-9_]{0,63}|none",
                is_shown=False,
            ),
            "The variable that holds the key; none for a server without keys.",
        ),
        "price": Field(
            Or("none", "none", PRICE), "USD per million tokens, or none; default: the price data."
        ),
    },
    short="name",
    check=_check_model,
)

OUTPUT = Section(
    {
        "path": Field(FilePath(), "Default: NAME.results.csv or .jsonl beside the job file."),
        "failed": Field(
            Choice(("keep", "drop")), "Whether failed items stand in the output; default keep."
        ),
        "lineage": Field(Flag(), "Adds model, cost, attempts, run and time."),
    },
    short="path",
)

RATES = {
    name: Field(Whole(), about)
    for name, about in {
        "requests_per_minute": "Requests in any 60 seconds.",
        "requests_per_day": "Requests in any 24 hours.",
        "tokens_per_minute": "Input and output tokens in any 60 seconds.",
        "input_tokens_per_minute": "Input tokens in any 60 seconds.",
        "output_tokens_per_minute": "Output tokens in any 60 seconds.",
        "tokens_per_day": "Input and output tokens in any 24 hours.",
        "input_tokens_per_day": "Input tokens in any 24 hours.",
        "output_tokens_per_day": "Output tokens in any 24 hours.",
    }.items()
}

LIMITS = Section(
    {
        **RATES,
        "concurrency": Field(
            Or("auto", "auto", Whole()),
            "Requests in flight at each model's account; default 8; auto adapts.",
        ),
        "max_wait": Field(
            Duration(), "How long an outage is sat out before the run stops; default 1h."
        ),
    }
)

STOP_IF = Section(
    {
        "failed": Field(Share(), "Share of failed items, such as 50%."),
        "of_last": Field(Whole(), "Among this many items settled last."),
    }
)

HISTORY = Section(
    {
        "summarise_after": Field(
            Whole(), "So many exchanges; then all but the last are condensed.", is_required=True
        ),
        "model": Field(MODEL, "The model that condenses; a cheap one will do.", is_required=True),
    }
)

REDUCE = Section(
    {
        "of": Field(Text("a step's name"), "The step whose results it is over.", is_required=True),
        "by": Field(
            Expression(frozenset({"item", "vars"})), "Groups the items: item.region; default: all."
        ),
        "fan_in": Field(Whole(2), "Results in one request; default 20."),
        "max_chars": Field(Whole(), "Characters of their JSON in one request; default 40000."),
    },
    short="of",
)


def _check_fallback(table: Table, values: Mapping[str, Any]) -> None:  # noqa: ARG001
    for name, what in (("models", "a model"), ("on", "an outcome")):
        node = table.entries.get(name)
        if isinstance(node, Listing) and not node.items:
            raise wrong(node, f"must name at least {what}")


FALLBACK = Section(
    {
        "models": Field(ListOf(MODEL, lone=True), "Models, in order.", is_required=True),
        "on": Field(
            ListOf(FallbackOutcome(), lone=True),
            "Outcomes to go on after: refused, invalid, overloaded …; default: whatever would "
            "fail the item.",
        ),
    },
    short="models",
    is_short=lambda node: not (isinstance(node, Table) and "models" in node.entries),
    check=_check_fallback,
)

ESCALATE = Section(
    {
        "if": Field(
            OfResult(),
            "When a valid answer is in doubt: result.confidence < 0.7.",
            is_required=True,
        ),
        "model": Field(MODEL, "The larger model that is asked then.", is_required=True),
    }
)

RETAIN = Section(
    {
        "items": Field(Flag(), "Whether the store keeps the rows; default true."),
        "answers": Field(Flag(), "Whether the store keeps the answers; default true."),
    }
)

POLICIES = {
    "on_truncated": Field(ON_TRUNCATED, "After a cut answer: {grow: 4096}, retry or fail."),
    "on_invalid": Field(
        ON_INVALID, "After a wrong answer: {repair: 2, then: fail}, retry or fail."
    ),
    "on_refused": Field(ON_REFUSED, "After a refusal: fail, retry, or fixed values."),
    "on_too_long": ON_TOO_LONG,
    "fallback": Field(FALLBACK, "Further models, where the one before came to nothing."),
    "escalate": Field(ESCALATE, "A larger model is asked again where an answer is in doubt."),
    "on_unknown": Field(Choice(("retry", "hold")), "After a crash: send again, or wait for you."),
    "cache": Field(
        Choice(("auto", "off", "5m", "1h")),
        "Whether the provider caches what all prompts begin with, and for how long; "
        "default auto: where it pays.",
    ),
}

STEP = Section(
    {
        "if": Field(Expression(), "Only items for which this holds: steps.triage.urgent."),
        "foreach": Field(Expression(), "A list; each element is a request of its own: {{ each }}."),
        "reduce": Field(REDUCE, "One prompt over many results of an earlier step: {{ results }}."),
        "model": Field(MODEL, "Which model answers; default: the job's.", is_required=True),
        "prompt": Field(PROMPT, "What is sent.", is_required=True),
        "schema": Field(SchemaKind(), "The result's fields; without it the result is plain text."),
        "checks": CHECKS,
        "history": Field(HISTORY, "How a conversation is condensed as it grows."),
        **POLICIES,
    }
)


def _check_steps(table: Table, values: Mapping[str, Any]) -> None:  # noqa: ARG001
    if "steps" not in table.entries:
        return
    for name in ("prompt", "schema", "checks", "history"):
        if name in table.entries:
            raise wrong(table.entries[name], "belongs to a step here: write it in one of `steps:`")


JOB = Section(
    {
        "version": Field(Version(), "Version of the job file."),
        "name": Field(
            Text("a name of letters, digits, space, . _ and -", JOB_NAME),
            "Default: the file's stem.",
        ),
        "vars": Field(MapOf(Anything()), "Values for {{ vars.x }}; --var x=… overrides."),
        "input": Field(INPUT, "Where the items come from.", is_required=True),
        "model": Field(
            MODEL,
            "Which model answers: provider/name, or a map.",
            is_required=True,
            unless="steps",
        ),
        "prompt": Field(PROMPT, "What is sent for each item.", is_required=True, unless="steps"),
        "schema": Field(SchemaKind(), "The result's fields; without it the result is plain text."),
        "output": Field(OUTPUT, "Where the results go."),
        "expect": Field(MapOf(Text("a column name")), "Result field: column of known answers."),
        "limits": Field(LIMITS, "How fast requests may be sent."),
        "prices": Field(
            Prices(), "Prices by provider/name, or a file of them; model.price goes before."
        ),
        "budget_usd": Field(Money(), "What a run may spend at most, its resumes included."),
        "stop_if": Field(
            Or("none", None, STOP_IF), "Stops a broken job; default 50% of the last 100."
        ),
        "allow_failed": Field(
            ShareOrNumber(), "Failed items, or share of them, that still exit with 0."
        ),
        "attempts": Field(Whole(), "Attempts for an item in a run; default 5."),
        "checks": CHECKS,
        "history": Field(HISTORY, "How a conversation is condensed as it grows."),
        **POLICIES,
        "dedupe": Field(
            Flag(), "Whether items with the same request are paid for once; default false."
        ),
        "retain": Field(RETAIN, "What the store keeps of personal data."),
        "delivery": Field(NotYet(("live",)), "How requests travel: live."),
        "finish_by": Field(NotYet(), "Not available yet."),
        "steps": Field(Steps(STEP), "Named steps that each item goes through, in this order."),
    },
    check=_check_steps,
)

_OWN_TO_A_JOB = ("prices", "checks", "version", "name", "finish_by", "steps")
DEFAULTS = Section({name: field for name, field in JOB.fields.items() if name not in _OWN_TO_A_JOB})

ACCOUNT_LIMITS = Section({**RATES, "concurrency": Field(Whole(), "Requests in flight.")})
ACCOUNT = Section(
    {"limits": Field(ACCOUNT_LIMITS, "The smaller of these and the job's own counts.")}
)

ACCOUNTS = Section({name: Field(ACCOUNT, f"Your account at {name}.") for name in PROVIDERS})


def _check_notify(table: Table, values: Mapping[str, Any]) -> None:
    if not table.entries.keys() & {"command", "webhook", "apprise"}:
        raise wrong(table, "names nobody to tell: give command, webhook or apprise")
    if "command" in values and not values["command"]:
        raise wrong(table.entries["command"], "must name a program and its arguments")


NOTIFY = Section(
    {
        "command": Field(
            ListOf(Text()), "A program and its arguments; it gets the news as JSON on stdin."
        ),
        "webhook": Field(NoticeUrl(), "The news are posted here as JSON; ${VAR} is expanded."),
        "apprise": Field(
            ListOf(NoticeUrl(is_web=False), lone=True),
            "URLs of the apprise library, such as slack://${SLACK_TOKENS}.",
        ),
        "on": Field(ListOf(Choice(NEWS), lone=True), "Of which news; default: all."),
    },
    check=_check_notify,
)

PROJECT = Section(
    {
        "notify": Field(NOTIFY, "Who is told when a run ends, stops, stalls or nears its budget."),
        "defaults": Field(DEFAULTS, "Fields of every job here that does not say otherwise."),
        "prices": Field(
            Prices(), "Prices by provider/name, or a file of them, where a job says none itself."
        ),
        "accounts": Field(ACCOUNTS, "Limits for each provider's account: anthropic, openai …"),
    }
)
