"""A comparison of models as text: a line a model, then where they agree and where they do not."""

from collections import Counter
from collections.abc import Iterator, Sequence

from batchai.reports.comparison import ComparedModel, Comparison, Difference
from batchai.reports.reasons import why_ended
from batchai.reports.tables import table, without_empty_columns
from batchai.reports.words import counted, one_line, printable, share, usd, wait

_MOST_DIFFERENCES = 20
_MOST_CONFUSED = 8  # pairs of a field


def comparison_text(comparison: Comparison) -> str:
    """Short enough for a screen; `--json` and `--html` have the rest."""
    names = short_names(comparison)
    blocks = [
        [headline(comparison)],
        table(without_empty_columns(model_rows(comparison))),
        list(remarks(comparison)),
        table(agreement_rows(comparison), left=(0,)) if comparison.agreement else [],
        *(_confusion(comparison, field, names) for field in expected_fields(comparison)),
        _differences(comparison, names),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def headline(comparison: Comparison) -> str:
    """One line: what was compared, and what it cost."""
    number = len(comparison.models)
    step = "" if comparison.step is None else f" at step {printable(comparison.step)}"
    parts = [
        f"{counted(number, 'model')}{step} over {counted(comparison.items, 'item')} of "
        f"{printable(comparison.job)}, drawn at random (seed {comparison.seed})",
        f"{usd(comparison.spent_usd)} spent now",
    ]
    in_all = f"{usd(comparison.cost_usd)}"
    if comparison.budget_usd is not None:
        in_all += f" of {usd(comparison.budget_usd)}"
    parts.append(f"{in_all} in all")
    if comparison.unconfirmed_usd:
        parts.append(f"{usd(comparison.unconfirmed_usd)} unconfirmed")
    return " · ".join(parts)


def model_rows(comparison: Comparison) -> list[list[str]]:
    """A header, and a row a model: validity, cost, latency, accuracy by field."""
    fields = expected_fields(comparison)
    head = ["model", "items", "valid", "cost / 1,000", "p50", "p95"]
    rows = [[*head, *(f"{one_line(field, most=24)} right" for field in fields)]]
    for model in comparison.models:
        known = {line.field: share(line.agreed, line.compared) for line in model.accuracy}
        rows.append([*_figures(model), *(known[field] for field in fields)])
    return rows


def _figures(model: ComparedModel) -> list[str]:
    cost, latency = model.cost_per_1000_usd, model.latency
    return [
        printable(model.model),
        f"{model.items:,}",
        share(model.valid, model.items),
        "" if cost is None else usd(cost),
        "" if latency is None else wait(latency.p50_seconds),
        "" if latency is None else wait(latency.p95_seconds),
    ]


def remarks(comparison: Comparison) -> Iterator[str]:
    """What was not valid or not finished, and what is not compared, a line each."""
    if comparison.lent:
        lent = counted(comparison.lent, "result")
        yield f"{lent} of the job's own runs taken, not paid for again"
    for model in comparison.models:
        failed = [
            f"{number:,} {'to do' if kind == 'pending' else kind}"
            for kind, number in model.outcomes.items()
            if kind != "succeeded"
        ]
        if model.fixed:
            failed.append(f"{model.fixed:,} with the job's fixed values")
        more = sum(model.attempts.values()) - model.items
        if more > 0 and comparison.in_parts:
            failed.append(f"{counted(more, 'request')} more than items, which are several each")
        elif more > 0:
            failed.append(f"{counted(more, 'attempt')} more than items")
        if model.ended != "finished":
            failed.append(
                why_ended(model.ended) + (f": {one_line(model.detail)}" * bool(model.detail))
            )
        if failed:
            yield f"{printable(model.model)}: {', '.join(failed)}"
    if comparison.free_text:
        names = ", ".join(one_line(field, most=40) for field in comparison.free_text)
        what = "a list of results" if comparison.in_parts else "free text"
        yield f"not compared, since it is {what}: {names}"


def agreement_rows(comparison: Comparison) -> list[list[str]]:
    """A header, and a row for each two models, with a column a field."""
    fields = comparison.fields
    rows = [["agree with each other", *(one_line(field, most=24) for field in fields)]]
    shares: dict[str, list[str]] = {}
    for line in comparison.agreement:
        pair = f"{printable(line.first)} and {printable(line.second)}"
        shares.setdefault(pair, []).append(share(line.agreed, line.compared))
    return rows + [[f"  {pair}", *cells] for pair, cells in shares.items()]


def expected_fields(comparison: Comparison) -> list[str]:
    """The fields that `expect:` says something of."""
    return [line.field for line in comparison.models[0].accuracy]


def short_names(comparison: Comparison) -> dict[str, str]:
    """Models without their provider, where that tells them apart."""
    names = [model.model for model in comparison.models]
    short = {name: name.partition("/")[2] for name in names}
    is_clear = len(set(short.values())) == len(names)
    return {name: printable(short[name] if is_clear else name) for name in names}


def _confusion(comparison: Comparison, field: str, names: dict[str, str]) -> list[str]:
    """What was taken for what, and how often by each model."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for model in comparison.models:
        line = next(line for line in model.accuracy if line.field == field)
        for pair in line.confusion:
            if pair.expected != pair.given:
                counts.setdefault((pair.expected, pair.given), Counter())[model.model] += pair.items
    worst = sorted(counts.items(), key=lambda entry: (-entry[1].total(), entry[0]))
    rows = [[f"{one_line(field, most=40)} taken for", *names.values()]]
    for (expected, given), by in worst[:_MOST_CONFUSED]:
        words = f"  {one_line(expected, most=30)} → {one_line(given, most=30) or 'nothing'}"
        rows.append([words, *(f"{by[name]:,}" if by[name] else "" for name in names)])
    return table(rows) if worst else []


def _differences(comparison: Comparison, names: dict[str, str]) -> list[str]:
    if not comparison.differences:
        return []
    found = comparison.differences
    head = f"the models differ on {comparison.differing:,} of {counted(comparison.items, 'item')}"
    rows = difference_rows(found[:_MOST_DIFFERENCES], names)
    lines = [head, *table(without_empty_columns(rows), left=range(len(rows[0])))]
    if len(found) > _MOST_DIFFERENCES:
        lines.append(f"  and {len(found) - _MOST_DIFFERENCES:,} more: --json or --html FILE")
    return lines


def difference_rows(
    found: Sequence[Difference], names: dict[str, str], *, most: int = 28
) -> list[list[str]]:
    """A header, and a row for each field of an item that models differ on."""
    rows = [["  item", "field", "expected", *names.values()]]
    for each in found:
        given = ["–" if one.value is None else one_line(one.value, most=most) for one in each.given]
        rows.append(
            [
                f"  {one_line(each.key, most=most)}",
                one_line(each.field, most=most),
                one_line(each.expected or "", most=most),
                *given,
            ]
        )
    return rows
