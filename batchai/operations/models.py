"""`batchai models`: which models there are prices for, what they cost, when they end."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from batchai.clock import Clock
from batchai.errors import PricingError, SpecError
from batchai.operations.starters import LOCAL_MODEL
from batchai.pricing import ModelInfo, list_models, price_for
from batchai.providers.local_process import CONTEXT_TOKENS
from batchai.spec.models import Model

_OWN_PROVIDERS = ("local", "anthropic", "openai")  # in the order in which they are listed
_LOCAL = ModelInfo(
    provider="local",
    id=LOCAL_MODEL.partition("/")[2],
    input_mtok=Decimal(0),
    output_mtok=Decimal(0),
    cache_read_mtok=None,
    cache_write_mtok=None,
    has_tiers=False,
    context_window=CONTEXT_TOKENS,
    end_of_life=None,
)
_HEADER = ("model", "input", "output", "cache read", "context", "")
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ModelList:
    """Models in the order of the list. others: how many were left out for want of a pattern."""

    models: tuple[ModelInfo, ...]
    others: int
    today: date


def models(pattern: str = "", *, clock: Clock | None = None) -> ModelList:
    """The models whose `provider/name` contains `pattern`, or matches it as a glob.

    Without a pattern, those of the providers that batchai speaks to itself. Those that ended come
    last, the cheapest first. Raises SpecError where nothing matches.
    """
    now = (clock or Clock()).utcnow()
    every = [_LOCAL, *list_models(at=now)]
    found = [info for info in every if _matches(info, pattern)]
    if not found:
        found = [_resolved(pattern, every)]
    shown = [info for info in found if pattern or info.provider in _OWN_PROVIDERS]
    today = now.date()
    shown.sort(key=lambda info: _order(info, today))
    return ModelList(tuple(shown), others=len(found) - len(shown), today=today)


def models_text(found: ModelList) -> str:
    """An aligned table; prices in USD per million tokens."""
    rows = [_HEADER, *(_row(info, found.today) for info in found.models)]
    return "\n".join([*_aligned(rows), "", *_footnotes(found)])


def models_json(found: ModelList) -> dict[str, Any]:
    """The same as plain values for `--json`; money as strings, null where there is none."""
    return {"schema_version": 1, "models": [_values(info, found.today) for info in found.models]}


def _matches(info: ModelInfo, pattern: str) -> bool:
    name, wanted = _name(info).lower(), pattern.lower()
    return wanted in name or fnmatchcase(name, wanted)


def _resolved(pattern: str, every: Sequence[ModelInfo]) -> ModelInfo:
    """The entry that prices a model of another spelling, such as one with a date."""
    names = {_name(info): info for info in every}
    try:
        return names[price_for(Model(name=pattern)).model]
    except (PricingError, KeyError):
        close = get_close_matches(pattern, _spellings(every), n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    raise SpecError(
        f"models {pattern}: no model of that name has a known price; {guess}A job may use "
        "any model that its provider serves, with model.price said in it"
    ) from None


def _spellings(every: Sequence[ModelInfo]) -> list[str]:
    own = [info for info in every if info.provider in _OWN_PROVIDERS]
    words = {word for info in own for word in re.findall(r"[a-z]{3,}", info.id)}
    return [*map(_name, own), *(info.id for info in own), *words]


def _order(info: ModelInfo, today: date) -> tuple[int, str, bool, Decimal, Decimal, str]:
    own = info.provider in _OWN_PROVIDERS
    rank = _OWN_PROVIDERS.index(info.provider) if own else len(_OWN_PROVIDERS)
    price = (info.input_mtok, info.output_mtok)
    return (rank, info.provider, _has_ended(info, today), *price, info.id)


def _row(info: ModelInfo, today: date) -> tuple[str, ...]:
    if info.provider == "local":
        prices = ("none", "none", "–")
    else:
        more = "+" if info.has_tiers else ""
        read = info.cache_read_mtok
        prices = (
            _usd(info.input_mtok) + more,
            _usd(info.output_mtok) + more,
            "–" if read is None else _usd(read) + more,
        )
    context = f"{info.context_window:,}" if info.context_window else "–"
    return (_name(info), *prices, context, _end(info, today))


def _end(info: ModelInfo, today: date) -> str:
    if info.end_of_life is None:
        return ""
    return f"{'ended' if _has_ended(info, today) else 'ends'} {info.end_of_life}"


def _has_ended(info: ModelInfo, today: date) -> bool:
    return info.end_of_life is not None and info.end_of_life < today


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The first and the last column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *middle, last in rows:
        cells = [text.rjust(width) for text, width in zip(middle, widths[1:-1], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells, last]).rstrip()


def _footnotes(found: ModelList) -> Iterator[str]:
    yield "USD per million tokens, from the price data; a job's model.price goes before it."
    if any(info.has_tiers for info in found.models):
        yield "+ long requests cost more."
    if found.others:
        yield f"{found.others:,} more of other providers: batchai models NAME (or '*')"
    if found.others or any(info.provider not in _OWN_PROVIDERS for info in found.models):
        yield "Any OpenAI-compatible server: openai/NAME with model.base_url and model.price."


def _values(info: ModelInfo, today: date) -> dict[str, Any]:
    is_free = info.provider == "local"
    return {
        "name": _name(info),
        "provider": info.provider,
        "input_usd_per_mtok": None if is_free else _usd(info.input_mtok),
        "output_usd_per_mtok": None if is_free else _usd(info.output_mtok),
        "cache_read_usd_per_mtok": _usd_or_none(info.cache_read_mtok),
        "cache_write_usd_per_mtok": _usd_or_none(info.cache_write_mtok),
        "long_requests_cost_more": info.has_tiers,
        "context_window": info.context_window,
        "end_of_life": info.end_of_life.isoformat() if info.end_of_life else None,
        "has_ended": _has_ended(info, today),
    }


def _name(info: ModelInfo) -> str:
    return f"{info.provider}/{info.id}"


def _usd_or_none(amount: Decimal | None) -> str | None:
    return None if amount is None else _usd(amount)


def _usd(amount: Decimal) -> str:
    """Exact, with two places at least."""
    places = -int(amount.normalize().as_tuple().exponent)
    return f"{amount:.{max(places, 2)}f}"
