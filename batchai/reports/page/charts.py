"""Charts as SVG text: drawn here, so that the page needs no library and no style of its own.

Colours are classes of the page's style sheet. Each mark has a title, which browsers show as a
tooltip; what a chart shows is in a table beside it, for those who do not see it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup, escape

from batchai.reports.page.scales import Scale, round_ticks, short, time_ticks, time_words

WIDTH, HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 448, 16, 202  # room for $0.0075 and for 18:33:25
_BAR = 26  # height of a ranked bar with its gap
_LABEL = 160  # width of its label
_MOST_LABEL = 23  # characters

Words = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across a chart at a value, with its words: a cap, a limit, a percentile."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: how large, and the class that colours it."""

    amount: float
    tone: str


@dataclass(frozen=True, slots=True)
class Column:
    """One bar over time or over bins, from `start` to `end`; its parts lie on each other."""

    start: float
    end: float
    parts: tuple[Part, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """One bar of a ranking."""

    label: str
    amount: float
    words: str
    tone: str = "t1"


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the ticks of an axis are, and what they say."""

    ticks: Sequence[float]
    words: Sequence[str]

    @classmethod
    def up_to(cls, most: float, words: Words = short, *, whole: bool = False) -> "Axis":
        """Round numbers from 0."""
        ticks = round_ticks(most, whole=whole)
        return cls(ticks, [words(tick) for tick in ticks])

    @classmethod
    def of_time(cls, start: datetime, end: datetime) -> "Axis":
        """Round times, as seconds since 1970."""
        ticks = time_ticks(start, end)
        return cls([tick.timestamp() for tick in ticks], time_words(ticks))


def line_chart(
    points: Sequence[tuple[float, float, str]], *, title: str, x: Axis, y: Axis, mark: Mark | None
) -> Markup:
    """An area under (x, y, words) points, with a line across at `mark`."""
    across = Scale(points[0][0], points[-1][0], _LEFT, _RIGHT)
    up = Scale(0, y.ticks[-1], _BOTTOM, _TOP)
    path = " ".join(f"{across.place(at)},{up.place(value)}" for at, value, _ in points)
    begin, end = across.place(points[0][0]), across.place(points[-1][0])
    shapes = [
        f'<polygon class="area" points="{begin},{_BOTTOM} {path} {end},{_BOTTOM}"/>',
        f'<polyline class="line" points="{path}"/>',
        *(
            f'<circle class="dot" cx="{across.place(at)}" cy="{up.place(value)}" r="3">'
            f"<title>{escape(words)}</title></circle>"
            for at, value, words in points
        ),
    ]
    return _svg(title, [*_grid(x, y, across, up), *shapes, *_across(mark, up)])


def column_chart(
    columns: Sequence[Column],
    *,
    title: str,
    x: Axis,
    y: Axis,
    line: Sequence[float],
    mark: Mark | None,
) -> Markup:
    """Bars side by side, a line over them with a value a bar, and a line across at `mark`."""
    across = Scale(columns[0].start, columns[-1].end, _LEFT, _RIGHT)
    up = Scale(0, y.ticks[-1], _BOTTOM, _TOP)
    shapes = [shape for column in columns for shape in _column(column, across, up)]
    middles = [across.place((column.start + column.end) / 2) for column in columns]
    path = " ".join(f"{at},{up.place(value)}" for at, value in zip(middles, line, strict=True))
    shapes.append(f'<polyline class="over" points="{path}"/>')
    return _svg(title, [*_grid(x, y, across, up), *shapes, *_across(mark, up)])


def histogram(
    columns: Sequence[Column], *, title: str, labels: Sequence[str], y: Axis, marks: Sequence[Mark]
) -> Markup:
    """Bars of one width, whose edges have these labels; `marks` are upright, at an edge's place."""
    across = Scale(0, len(columns), _LEFT, _RIGHT)
    up = Scale(0, y.ticks[-1], _BOTTOM, _TOP)
    every = -(-len(labels) // 8)
    edges = Axis(list(range(0, len(labels), every)), list(labels[::every]))
    shapes = [shape for column in columns for shape in _column(column, across, up)]
    lines = [line for mark in marks for line in _upright(mark, across)]
    return _svg(title, [*_grid(edges, y, across, up), *shapes, *lines])


def ranking(rows: Sequence[Row], *, title: str) -> Markup:
    """Bars under each other, each with its label and words."""
    most = max((row.amount for row in rows), default=0) or 1
    across = Scale(0, most, 0, WIDTH - _LABEL - 110)
    shapes = []
    for place, row in enumerate(rows):
        top = place * _BAR + 4
        width = max(across.place(row.amount), 1)
        shapes += [
            f'<text class="label" x="{_LABEL - 8}" y="{top + 13}">{escape(_cut(row.label))}'
            f"<title>{escape(row.label)}</title></text>",
            f'<rect class="{row.tone}" x="{_LABEL}" y="{top}" width="{width}" height="18" rx="3">'
            f"<title>{escape(row.label)}: {escape(row.words)}</title></rect>",
            f'<text class="value" x="{_LABEL + width + 6}" y="{top + 13}">'
            f"{escape(row.words)}</text>",
        ]
    return _svg(title, shapes, height=len(rows) * _BAR + 6)


def _cut(label: str) -> str:
    """A model that is too long goes without its provider first."""
    if len(label) > _MOST_LABEL:
        label = label.rpartition("/")[2]
    return label if len(label) <= _MOST_LABEL else f"{label[: _MOST_LABEL - 1]}…"


def share_bar(parts: Sequence[Part], *, title: str) -> Markup:
    """One thin bar of parts that make a whole."""
    whole = sum(part.amount for part in parts) or 1
    shapes, start = [], 0.0
    for part in parts:
        width = round(part.amount / whole * 200, 2)
        shapes.append(
            f'<rect class="{part.tone}" x="{round(start, 2)}" y="0" width="{width}" height="8"/>'
        )
        start += width
    inner = "".join(shapes)
    return Markup(
        f'<svg class="share" viewBox="0 0 200 8" preserveAspectRatio="none" role="img">'
        f"<title>{escape(title)}</title>{inner}</svg>"
    )


def _column(column: Column, across: Scale, up: Scale) -> Iterator[str]:
    left, right = across.place(column.start), across.place(column.end)
    gap = 1 if right - left > 3 else 0
    below = 0.0
    for part in column.parts:
        if part.amount:
            top, bottom = up.place(below + part.amount), up.place(below)
            yield (
                f'<rect class="{part.tone}" x="{left}" y="{top}" '
                f'width="{round(max(right - left - gap, 0.5), 1)}" '
                f'height="{round(max(bottom - top, 0.5), 1)}">'
                f"<title>{escape(column.words)}</title></rect>"
            )
            below += part.amount


def _grid(x: Axis, y: Axis, across: Scale, up: Scale) -> Iterator[str]:
    for value, words in zip(y.ticks, y.words, strict=True):
        at = up.place(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text class="y" x="{_LEFT - 6}" y="{at + 4}">{escape(words)}</text>'
    for value, words in zip(x.ticks, x.words, strict=True):
        yield f'<text class="x" x="{across.place(value)}" y="{_BOTTOM + 18}">{escape(words)}</text>'


def _across(mark: Mark | None, up: Scale) -> Iterator[str]:
    if mark is not None:
        at = up.place(mark.at)
        yield f'<line class="mark" x1="{_LEFT}" x2="{_RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text class="marked" x="{_RIGHT}" y="{at - 5}">{escape(mark.words)}</text>'


def _upright(mark: Mark, across: Scale) -> Iterator[str]:
    at = across.place(mark.at)
    near_end = at > (_LEFT + _RIGHT) / 2
    side = "marked" if near_end else "marked from"
    yield f'<line class="mark" x1="{at}" x2="{at}" y1="{_TOP - 10}" y2="{_BOTTOM}"/>'
    yield (
        f'<text class="{side}" x="{at - 5 if near_end else at + 5}" y="{_TOP - 2}">'
        f"{escape(mark.words)}</text>"
    )


def _svg(title: str, shapes: Sequence[str], *, height: int = HEIGHT) -> Markup:
    inner = "".join(shapes)
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title>{inner}</svg>"
    )
