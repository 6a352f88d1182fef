"""What caches and results of before have saved, and what other models would have cost."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from batchai.domain import NO_COST, Usage
from batchai.pricing import ModelInfo
from batchai.reports.advice import Sibling

_VERSION = re.compile(r"\d+(?:[.-]\d{1,2}|o)?(?!\d)")
_SPECIAL = re.compile(  # made for other work, or a fixed state of another name
    r"audio|codex|cyber|image|instruct|oss|preview|realtime|research|search|transcribe|tts|vision"
    r"|:|\d{4}|latest"
)
_MOST_OF_COST = Decimal("0.6")  # of a sibling worth a comparison


@dataclass(frozen=True, slots=True)
class Saved:
    """Money that was not spent.

    cache_usd: what the input cost less than without prompt caching, over all runs; below 0 where
    writing the cache cost more than reading saved. reused: results of earlier runs that the last
    run did not pay for again; reused_usd: what they cost then. copied: items with the result of
    another item's equal request; copied_usd: what that one cost, once for each of them.
    """

    cache_usd: Decimal
    reused: int
    reused_usd: Decimal
    copied: int
    copied_usd: Decimal


def sibling(
    model: str, tokens: Usage, known: Iterable[ModelInfo], *, at: datetime
) -> Sibling | None:
    """The next cheaper model of the same generation (`gpt-5.4-nano` of `gpt-5.4-mini`), if any.

    known: models with their prices; `model` itself must be among them.
    """
    relatives = [info for info in known if _generation(_name(info)) == _generation(model)]
    own = next((info for info in relatives if _name(info) == model), None)
    if own is None or _generation(model) is None:
        return None
    cost = _cost(own, tokens)
    cheaper = [
        (_cost(info, tokens), _name(info))
        for info in relatives
        if not _SPECIAL.search(info.id)
        and (info.end_of_life is None or info.end_of_life > at.date())
        and (info.context_window or 0) >= (own.context_window or 0) // 2
    ]
    cheaper = [each for each in cheaper if NO_COST < each[0] <= _MOST_OF_COST * cost]
    if not cheaper:
        return None
    less, name = max(cheaper)
    return Sibling(name, instead_of=model, cost_usd=less, saving_usd=cost - less)


def _generation(model: str) -> tuple[str, str] | None:
    """(`openai/gpt`, `5.4`) of `openai/gpt-5.4-mini`; None where the name tells none."""
    found = _VERSION.search(model)
    return None if found is None else (model.split("-")[0], found[0].replace("-", "."))


def _name(info: ModelInfo) -> str:
    return f"{info.provider}/{info.id}"


def _cost(info: ModelInfo, tokens: Usage) -> Decimal:
    """At the prices of small requests."""
    read = info.input_mtok if info.cache_read_mtok is None else info.cache_read_mtok
    written = info.input_mtok if info.cache_write_mtok is None else info.cache_write_mtok
    amount = (
        info.input_mtok * tokens.uncached_input
        + read * tokens.cache_read
        + written * (tokens.cache_write_5m + tokens.cache_write_1h)
        + info.output_mtok * tokens.output
    )
    return amount / 1_000_000
