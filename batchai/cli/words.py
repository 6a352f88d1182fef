"""What the commands print about a launch and a trial."""

import shlex
from pathlib import Path

from batchai.cli.following import Changes, following
from batchai.domain import MAIN_STEP, State
from batchai.engine.runner import End, Reason
from batchai.operations.run import RunSummary
from batchai.operations.trial import Trial, TriedItem
from batchai.reports.job_status import reduced_lines
from batchai.reports.next_step import Standing, next_step
from batchai.reports.reasons import why_ended
from batchai.reports.words import counted, printable, share, span, usd


def run_text(summary: RunSummary, name: str, *, changes: Changes = ()) -> str:
    """How a launch ended, where the results are, what to type next.

    name: JOB as typed; changes: the options, as typed, without which it would be another job.
    """
    lines = []
    if summary.end.reason is not Reason.FINISHED:
        lines.append(_ended(summary.end))
        if summary.end.detail:
            lines.append(f"  {printable(summary.end.detail)}")
    lines.append(_counts(summary))
    lines.append(_effort(summary))
    if changed := _changes(summary):
        lines.append(changed)
    if summary.bad_rows:
        example = printable(": ".join(summary.bad_rows[0]))
        lines.append(f"{counted(len(summary.bad_rows), 'bad row')} skipped, such as {example}")
    lines += [
        f"{found.field} agrees with {found.column}: {found.agreed:,} of {found.compared:,} "
        f"({share(found.agreed, found.compared)})"
        for found in summary.agreements
        if found.compared
    ]
    lines += reduced_lines(summary.reductions, name)
    if summary.export is not None:
        lines.append(
            f"Results: {_shown(summary.export.path)} ({counted(summary.export.rows, 'row')})"
        )
        if summary.export.cut_cells:
            lines.append(cut_text(summary.export.cut_cells))
    if summary.export_problem:
        lines.append(f"No result file: {summary.export_problem}")
    lines.append(f"Next: {following(_next_step(summary, name), name, changes)}")
    return "\n".join(lines)


def cut_text(cells: int) -> str:
    """What a workbook could not hold, and what can."""
    return (
        f"{counted(cells, 'text')} longer than a cell of Excel holds (32,767 characters) end in a "
        "mark; the store has them whole: name a .csv, .jsonl or .parquet output"
    )


def trial_text(trial: Trial, name: str, *, shows_prompts: bool, changes: Changes = ()) -> str:
    """The items with their answers, what they cost, and what all of them would; see `run_text`."""
    lines: list[str] = []
    for item in trial.tried:
        lines += _tried_lines(item, shows_prompts=shows_prompts)
    if trial.end.reason is not Reason.FINISHED:
        lines += [_ended(trial.end), f"  {printable(trial.end.detail)}"]
    valid = sum(item.row.state is State.SUCCEEDED for item in trial.tried)
    line = f"{valid} of {len(trial.tried)} valid, kept"
    ended = [item for item in trial.tried if item.row.state is not State.PENDING]
    sent = [item for item in ended if item.is_new]
    if not trial.is_free:
        line += f" · {usd(trial.cost)}"
        if sent:
            line += (
                f" · all {counted(trial.items_in_input, 'item')} about "
                f"{usd(trial.cost / len(sent) * trial.items_in_input)}"
            )
    lines.append(line)
    job = shlex.quote(name)
    follow = f"batchai show {job} --failed" if ended else f"batchai try {job}"
    if valid:
        follow = f"batchai run {job}"
    lines.append(f"Next: {following(follow, name, changes)}")
    return "\n".join(lines)


def _counts(summary: RunSummary) -> str:
    counts = summary.counts
    succeeded = f"{counts.get(State.SUCCEEDED, 0):,} succeeded"
    pending = counts.get(State.PENDING, 0)
    if before := sum(counts.values()) - pending - summary.progress.settled_items:
        was = "1 item was" if before == 1 else f"{before:,} items were"
        succeeded += f" ({was} done before, nothing is sent twice)"
    parts = [succeeded]
    parts += [f"{number:,} {kind}" for kind, number in summary.failures.items()]
    if pending:
        parts.append(f"{pending:,} to do")
    return " · ".join(parts)


def _effort(summary: RunSummary) -> str:
    progress = summary.progress
    if not progress.attempts:
        left = summary.counts.get(State.PENDING, 0)
        return "Nothing was sent." if left else "Nothing was left to send."
    cost = "no cost"
    budget = summary.run.budget  # as it was tuned last
    if summary.run.cost or summary.run.unconfirmed or budget is not None:
        cost = f"{usd(summary.run.cost)} in this run"
        if budget is not None:
            cost = f"{usd(summary.run.cost)} of {usd(budget)}"
        if summary.run.unconfirmed:
            cost += f", {usd(summary.run.unconfirmed)} unconfirmed"
    of_run = ""
    if summary.run.attempts > progress.attempts:
        of_run = f" in this launch ({summary.run.attempts:,} in the whole run)"
    rate = progress.settled / summary.seconds if summary.seconds else 0.0
    return (
        f"{counted(progress.attempts, 'request')}{of_run}, {progress.retries:,} of them retries · "
        f"{progress.input_tokens:,} tokens in, {progress.output_tokens:,} out · {cost} · "
        f"{span(summary.seconds)}, {rate:,.1f} items/s"
    )


def _changes(summary: RunSummary) -> str:
    changes = summary.progress.changes
    words = {
        "edited": "edited and sent again",
        "changed": "of the old spec sent again",
        "kept": "of the old spec kept",
        "revalidated": "kept, since their answers fit the new schema",
        "removed": "left the input (the store keeps them)",
    }
    parts = [f"{changes[kind]:,} {text}" for kind, text in words.items() if changes[kind]]
    if parts and changes["new"]:
        parts.insert(0, f"{changes['new']:,} new")
    return "Changes: " + ", ".join(parts) if parts else ""


def _ended(end: End) -> str:
    words = why_ended(end.reason.value)
    saved = "; everything that was answered is saved"
    if end.reason in {Reason.STORE, Reason.MEMORY}:  # where that is not sure, the detail says it
        saved = ""
    return f"{words[0].upper()}{words[1:]}{saved}."


def _next_step(summary: RunSummary, name: str) -> str:
    done = summary.counts.get(State.SUCCEEDED, 0)
    standing = Standing(
        items={state.value: number for state, number in summary.counts.items()},
        failures=summary.failures,
        is_working=False,
        reason=summary.end.reason.value,
        cost_per_item=summary.run.cost / done if done else None,
    )
    step = next_step(standing, name)
    if step is None and summary.job.input.limit is not None:
        step = f"batchai run {shlex.quote(name)} --limit all   (the rest; nothing is sent twice)"
    return step or f"batchai report {shlex.quote(name)}"


def _tried_lines(item: TriedItem, *, shows_prompts: bool) -> list[str]:
    row = item.row
    head = f"── {printable(row.key)} "
    if not item.is_new:
        head += "(done before, not sent again) "
    lines = [head + "─" * max(3, 60 - len(head))]
    for step, rendered in item.prompts if shows_prompts else ():
        name = "" if step == MAIN_STEP else f"{step} "
        if rendered.system:
            lines.append(f"[{name}system] {printable(rendered.system)}")
        lines += [f"[{name}{turn.role}] {printable(turn.content)}" for turn in rendered.messages]
    if row.state is State.SUCCEEDED:
        lines.append(_result_line(row.result, item.skipped))
    else:
        lines.append(f"{row.state}: {printable(row.error)}" if row.error else str(row.state))
    return lines


def _result_line(result: object, skipped: frozenset[str]) -> str:
    if isinstance(result, dict):
        result = {**result, **dict.fromkeys(skipped, "skipped")}
        return "\n".join(f"  {printable(str(k))}: {printable(str(v))}" for k, v in result.items())
    return printable(str(result))


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
