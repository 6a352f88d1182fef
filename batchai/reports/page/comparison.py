"""A comparison of models as a page of the report's look; it has no script."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from batchai.reports.comparison import Accuracy, Comparison
from batchai.reports.comparison_text import (
    agreement_rows,
    difference_rows,
    headline,
    model_rows,
    remarks,
    short_names,
)
from batchai.reports.page.charts import Row, ranking
from batchai.reports.page.rendering import file_text, policy, template
from batchai.reports.tables import without_empty_columns
from batchai.reports.words import one_line, share, usd, wait

_MOST_DIFFERENCES = 1_000
_MOST_VALUES = 12  # of a field, beside each other
_MOST_TEXT = 300


@dataclass(frozen=True, slots=True)
class Matrix:
    """What one model gave (columns) where something was expected (rows)."""

    model: str
    field: str
    right: str
    given: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


def comparison_html(comparison: Comparison) -> str:
    """The comparison as HTML that needs nothing but itself."""
    style = file_text("page.css")
    names = short_names(comparison)
    shown = comparison.differences[:_MOST_DIFFERENCES]
    return template("comparison.html.j2").render(
        policy=policy(style),
        style=Markup(style),
        comparison=comparison,
        headline=headline(comparison),
        models=without_empty_columns(model_rows(comparison)),
        figures=list(_figures(comparison, names)),
        agreement=agreement_rows(comparison),
        matrices=list(_matrices(comparison)),
        differences=without_empty_columns(difference_rows(shown, names, most=_MOST_TEXT)),
        left_out=len(comparison.differences) - len(shown),
        remarks=list(remarks(comparison)),
    )


def _figures(comparison: Comparison, names: dict[str, str]) -> Iterator[tuple[str, str, Markup]]:
    """Title, note and chart."""
    costs = [
        Row(names[model.model], float(model.cost_per_1000_usd), usd(model.cost_per_1000_usd))
        for model in comparison.models
        if model.cost_per_1000_usd
    ]
    if costs:
        chart = ranking(costs, title="Cost of 1,000 items by model")
        yield "Cost of 1,000 items", "as the sample cost, retries included", chart
    waits = [
        Row(names[model.model], model.latency.p50_seconds, wait(model.latency.p50_seconds))
        for model in comparison.models
        if model.latency is not None
    ]
    if waits:
        chart = ranking(waits, title="Median latency by model")
        yield "Latency", "half of the answers came within", chart


def _matrices(comparison: Comparison) -> Iterator[Matrix]:
    for model in comparison.models:
        for line in model.accuracy:
            if line.compared:
                yield _matrix(model.model, line)


def _matrix(model: str, line: Accuracy) -> Matrix:
    counts = {(pair.expected, pair.given): pair.items for pair in line.confusion}
    expected = sorted({pair.expected for pair in line.confusion})[:_MOST_VALUES]
    given = sorted({pair.given for pair in line.confusion})
    # what was expected stands first, in its order, so that the right answers are the diagonal
    columns = [*expected, *(value for value in given if value not in expected)][:_MOST_VALUES]
    return Matrix(
        model=model,
        field=line.field,
        right=f"{share(line.agreed, line.compared)}, {line.agreed:,} of {line.compared:,}",
        given=tuple(one_line(value, most=30) or "nothing" for value in columns),
        rows=tuple(
            (one_line(value, most=30), tuple(counts.get((value, other), 0) for other in columns))
            for value in expected
        ),
    )
