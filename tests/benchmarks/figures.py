"""What was measured beside what is wanted, and the table of it."""

from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = ("figure", "measured", "goal", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. goal: in words. detail: what the figure was made of."""

    name: str
    measured: str
    goal: str
    is_met: bool
    detail: str = ""


def at_most(name: str, value: float, limit: float, *, unit: str = "", detail: str = "") -> Figure:
    """A figure that should not exceed `limit`."""
    return Figure(
        name, _words(value, unit), f"≤ {_words(limit, unit)}", value <= limit, detail=detail
    )


def at_least(name: str, value: float, limit: float, *, unit: str = "", detail: str = "") -> Figure:
    """A figure that should reach `limit`."""
    return Figure(
        name, _words(value, unit), f"≥ {_words(limit, unit)}", value >= limit, detail=detail
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures in columns, each with what it was made of."""
    rows = [
        (f.name, f.measured, f.goal, ("met" if f.is_met else "NOT MET") + _within(f.detail))
        for f in figures
    ]
    widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(3)]
    lines = [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]))
        for row in (_HEAD, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _words(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 2
    return f"{value:,.{digits}f}{' ' if unit else ''}{unit}"


def _within(detail: str) -> str:
    return f"  ({detail})" if detail else ""
