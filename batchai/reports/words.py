"""How numbers and foreign text read in lines for people."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

_CENT = Decimal("0.01")

# ECMA-48 control sequences, and strings (titles, links) that run to BEL or ST, whole
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
)
# what is left of control characters, marks that change the direction of text or cannot be seen,
# line separators, and halves of surrogate pairs, which no terminal can be given
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def usd(amount: Decimal) -> str:
    """`$1.04`; amounts under a dollar keep two significant digits: `$0.0006`, `$0.00021`."""
    if amount == 0:
        return "$0"
    if amount >= 1:
        return f"${amount.quantize(_CENT):,}"
    places = max(2, 1 - amount.adjusted())
    text = f"{amount:.{places}f}"
    while len(text) > len("0.00") and text.endswith("0"):
        text = text[:-1]
    return f"${text}"


def span(seconds: float) -> str:
    """`42 s`, `4:17 min`, `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    minutes = whole // 60
    return f"{minutes // 60}:{minutes % 60:02} h"


def wait(seconds: float) -> str:
    """How long one answer took: `340 ms`, `1.2 s`, `42 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else span(seconds)


def share(part: float | Decimal, whole: float | Decimal) -> str:
    """`93 %`; a dash where there is nothing to share."""
    return f"{100 * float(part) / float(whole):.0f} %" if whole else "–"


def counted(number: int, noun: str) -> str:
    """`1 item`, `2,310 items`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def age(delta: timedelta) -> str:
    """How long ago: `42 s ago`, `4:17 min ago`."""
    seconds = delta.total_seconds()
    return f"{span(seconds)} ago" if seconds >= 1 else "just now"


def moment(time: datetime) -> str:
    """`2026-11-22 06:14 UTC`."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def tuned_words(values: Mapping[str, Any]) -> str:
    """Tuned fields as a person says them: `concurrency 64, budget $20.00`."""
    parts = []
    for field, value in values.items():
        if field == "budget_usd":
            parts.append(f"budget {usd(Decimal(value))}")
        else:
            number = f"{value:,}" if isinstance(value, int) else str(value)
            parts.append(f"{field.rpartition('.')[2].replace('_', ' ')} {number}")
    return ", ".join(parts) or "nothing"


def printable(text: str) -> str:
    """`text` without what could steer a terminal: control, escape, direction and unseen characters.

    Line feeds and tabs stay.
    """
    return _UNSEEN.sub("", _ESCAPE.sub("", text))


def one_line(text: str, *, most: int = 100) -> str:
    """Printable text on one line, cut to `most` characters with an ellipsis."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
