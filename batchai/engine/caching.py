"""The provider's prompt cache: what is marked for it, and that it is warm before the fan-out."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from batchai.clock import Clock
from batchai.domain import NO_COST, CacheMark, Usage
from batchai.limits import Calibration, estimate_tokens
from batchai.pricing import Rates
from batchai.prompts import Prefix
from batchai.providers import least_cached_tokens
from batchai.spec.models import Limits, Step

_SECONDS = {"5m": 300.0, "1h": 3600.0}  # each read begins them anew
_MARGIN_SECONDS = 60.0
_OWN_MARKS = ("cache_control", "prompt_cache_key", "prompt_cache_options")


def lifetime(step: Step, limits: Limits) -> Literal["5m", "1h"]:
    """How long the cache is to last: an hour where the limits let requests leave so rarely."""
    if step.cache in ("5m", "1h"):
        return step.cache
    waits = [60 / limits.requests_per_minute] if limits.requests_per_minute else []
    waits += [86_400 / limits.requests_per_day] if limits.requests_per_day else []
    return "1h" if max(waits, default=0) > _SECONDS["5m"] - _MARGIN_SECONDS else "5m"


def may_mark(step: Step) -> bool:
    """Whether requests may be marked at all: not if the job does so itself, or forbids it."""
    is_own = any(name in (step.model.extra_body or {}) for name in _OWN_MARKS)
    return step.cache != "off" and not is_own


def prefix_tokens(prefix: Prefix, calibration: Calibration) -> int:
    """Input tokens of what every request begins with, as the job's history counts them."""
    return int(estimate_tokens(prefix.text) * calibration.ratio) if prefix.text else 0


def cache_mark(
    step: Step, limits: Limits, *, prefix: Prefix, tokens: int, rates: Rates, at: datetime
) -> CacheMark | None:
    """The mark for a step's requests; None where they are too much unlike, or it does not pay."""
    least = least_cached_tokens(step.model, is_asked_for=step.cache != "auto")
    if not may_mark(step) or least is None or tokens < least:
        return None
    ttl = lifetime(step, limits)
    gain = rates.saved(Usage(cache_read=tokens), at=at)
    written = Usage(cache_write_5m=tokens) if ttl == "5m" else Usage(cache_write_1h=tokens)
    loss = -rates.saved(written, at=at)
    if gain <= NO_COST and step.cache == "auto":
        return None
    return CacheMark(
        parts=prefix.parts,
        chars=prefix.chars,
        ttl=ttl,
        key=_key(step.model.id, prefix.text),
        tokens=tokens,
        pays_from=2 + int(loss / gain) if gain > NO_COST and step.cache == "auto" else 0,
    )


def cached_usage(usage: Usage, mark: CacheMark, *, is_first: bool) -> Usage:
    """What a request's usage becomes with its prefix read from the cache, or written to it."""
    tokens = min(mark.tokens, usage.uncached_input)
    if not is_first:
        bucket: Mapping[str, Any] = {"cache_read": tokens}
    else:
        bucket = {"cache_write_5m" if mark.ttl == "5m" else "cache_write_1h": tokens}
    return Usage(
        uncached_input=usage.uncached_input - tokens,
        output=usage.output,
        reasoning=usage.reasoning,
        **bucket,
    )


class Warmth:
    """Lets one request go ahead while the cache is cold, so that the rest read what it wrote.

    A provider that shows no sign of a cache in the answers after the first is not waited for.
    """

    def __init__(self, mark: CacheMark | None, clock: Clock) -> None:
        self._seconds = None if mark is None else _SECONDS[mark.ttl]
        self._clock = clock
        self._warm_until = float("-inf")
        self._answers = 0
        self._is_seen = False

    def admits(self, in_flight: int) -> bool:
        """Whether another item may begin."""
        if self._seconds is None or in_flight == 0:
            return True
        return self._clock.monotonic() < self._warm_until

    def take(self, usage: Usage) -> None:
        """Learn from an attempt that ended; one without tokens was not answered."""
        if self._seconds is None or not usage.input:
            return
        self._answers += 1
        self._is_seen = self._is_seen or usage.uncached_input < usage.input
        now = self._clock.monotonic()
        if now >= self._warm_until and self._answers > 1 and not self._is_seen:
            self._seconds = None
            return
        self._warm_until = now + self._seconds


def _key(model: str, text: str) -> str:
    """The same for equal prefixes, and telling nothing of them."""
    digest = hashlib.sha256(model.encode())
    digest.update(text.encode("utf-8", "surrogatepass"))
    return f"batchai-{digest.hexdigest()[:16]}"
