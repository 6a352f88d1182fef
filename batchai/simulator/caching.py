"""The prompt caches of the simulated providers: what a request finds there, and what it leaves."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from batchai.domain import Usage

LEAST_TOKENS = 1024
_SECONDS = {"5m": 300.0, "1h": 3600.0}


@dataclass(frozen=True, slots=True)
class Point:
    """A beginning of a prompt that may be cached; ttl None: writing it is not billed as such."""

    digest: bytes
    tokens: int
    ttl: Literal["5m", "1h"] | None


class PromptCache:
    """Beginnings by account and model, each until some time after it was last used."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, bytes], float] = {}

    def usage(self, usage: Usage, points: Sequence[Point], *, scope: str, now: float) -> Usage:
        """The input tokens of a request in their buckets, by what is cached now."""
        long_enough = [point for point in points if point.tokens >= LEAST_TOKENS]
        found = (p.tokens for p in long_enough if self._until.get((scope, p.digest), 0) > now)
        read = upto = max(found, default=0)
        written = {"5m": 0, "1h": 0}
        for point in long_enough:  # the shortest first
            if point.ttl is not None and point.tokens > upto:
                written[point.ttl] += point.tokens - upto
                upto = point.tokens
        return Usage(
            uncached_input=max(0, usage.input - upto),
            cache_read=read,
            cache_write_5m=written["5m"],
            cache_write_1h=written["1h"],
        )

    def keep(self, points: Sequence[Point], *, scope: str, now: float) -> None:
        """From now on other requests find these: they are there once an answer has begun."""
        for point in points:
            self._until[scope, point.digest] = now + _SECONDS[point.ttl or "5m"]


class Digests:
    """The digests and sizes of ever longer beginnings of a prompt."""

    def __init__(self, bytes_per_token: float) -> None:
        self._bytes_per_token = bytes_per_token
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, content: bytes, *, counts: bool = True) -> None:
        """The prompt goes on; what does not count are marks between its parts."""
        self._hash.update(content)
        self._size += len(content) if counts else 0

    def point(self, ttl: Literal["5m", "1h"] | None) -> Point:
        """The beginning so far."""
        return Point(self._hash.copy().digest(), int(self._size / self._bytes_per_token), ttl)
