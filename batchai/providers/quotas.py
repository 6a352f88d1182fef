"""What a reply's headers say of the account's limits, in either provider's spelling. Pure.

https://docs.anthropic.com/en/api/rate-limits#response-headers: `anthropic-ratelimit-requests-limit`
with a reset in RFC 3339. https://platform.openai.com/docs/guides/rate-limits:
`x-ratelimit-limit-requests` with a reset as Go prints durations; many servers do likewise.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from batchai.domain import LimitNotice, Standing

_COUNT = re.compile(r"[0-9]{1,15}")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(h|ms|m|s|us|µs|ns)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")


def read_limits(headers: Mapping[str, str], *, now: datetime) -> LimitNotice | None:
    """The limits that the headers (names in lower case) name; None where none can be read.

    now: the server's time, against which Anthropic's resets are read.
    """
    requests = _standing(headers, "requests", now)
    tokens = _standing(headers, "tokens", now)
    input_tokens = _standing(headers, "input-tokens", now)
    output_tokens = _standing(headers, "output-tokens", now)
    if input_tokens is not None and output_tokens is not None:
        tokens = None  # Anthropic's: the sum of both, or whichever is tighter
    if not (requests or tokens or input_tokens or output_tokens):
        return None
    return LimitNotice(requests, input_tokens, output_tokens, tokens)


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """When the reply was sent by the server's clock, since ours may be wrong; whole seconds."""
    try:
        moment = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


def _standing(headers: Mapping[str, str], kind: str, now: datetime) -> Standing | None:
    for pattern in (f"anthropic-ratelimit-{kind}-%s", f"x-ratelimit-%s-{kind}"):
        limit, remaining = (headers.get(pattern % part, "") for part in ("limit", "remaining"))
        if _COUNT.fullmatch(limit) and _COUNT.fullmatch(remaining):
            reset = headers.get(pattern % "reset", "")
            return Standing(int(limit), int(remaining), _reset_seconds(reset, now))
    return None


def _reset_seconds(text: str, now: datetime) -> float | None:
    """Seconds from a Go duration or an RFC 3339 time; None where it is neither."""
    if _DURATION.fullmatch(text):
        return sum(
            float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text)
        )
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds()) if moment.tzinfo is not None else None
