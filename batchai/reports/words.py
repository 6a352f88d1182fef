"""How numbers read in lines for people."""

from datetime import timedelta
from decimal import Decimal

_CENT = Decimal("0.01")


def usd(amount: Decimal) -> str:
    """`$1.04`; amounts under a dollar keep two significant digits: `$0.0006`."""
    if amount == 0:
        return "$0"
    if amount >= 1:
        return f"${amount.quantize(_CENT):,}"
    places = max(2, 1 - amount.adjusted())
    return f"${amount:.{places}f}"


def span(seconds: float) -> str:
    """`42 s`, `4:17 min`, `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    minutes = whole // 60
    return f"{minutes // 60}:{minutes % 60:02} h"


def share(part: float, whole: float) -> str:
    """`93 %`; a dash where there is nothing to share."""
    return f"{100 * part / whole:.0f} %" if whole else "–"


def counted(number: int, noun: str) -> str:
    """`1 item`, `2,310 items`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def age(delta: timedelta) -> str:
    """How long ago, roughly: `3 min ago`."""
    return f"{span(delta.total_seconds())} ago"
