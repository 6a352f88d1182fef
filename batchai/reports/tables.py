"""Tables of text with aligned columns."""

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

GAP = "  "


def table(rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)) -> list[str]:
    """Lines of aligned cells: columns named in `left` begin together, others end together.

    Rows may differ in length. A cell must be one line (`words.one_line`).
    """
    widths = [max(map(_width, column)) for column in zip_longest(*rows, fillvalue="")]
    return [_line(row, widths, left) for row in rows]


def without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows of a table, less the columns that are empty in all but the first row, the header."""
    columns = list(zip_longest(*rows, fillvalue=""))
    kept = [column for column in columns if any(column[1:])]
    return [list(row) for row in zip(*kept, strict=True)]


def _line(row: Sequence[str], widths: Sequence[int], left: Sequence[int]) -> str:
    cells = []
    for column, cell in enumerate(row):
        padding = " " * (widths[column] - _width(cell))
        cells.append(cell + padding if column in left else padding + cell)
    return GAP.join(cells).rstrip()


def _width(text: str) -> int:
    """Terminal columns: East Asian wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )
