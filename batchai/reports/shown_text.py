"""Items as text. Whatever data or a model wrote goes through `printable`."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from batchai.domain import MAIN_STEP, Outcome, State
from batchai.reports.next_step import is_worth_a_retry
from batchai.reports.shown import (
    ItemLine,
    Shown,
    ShownAttempt,
    ShownItem,
    ShownList,
    ShownPrompt,
    ShownStep,
)
from batchai.reports.tables import table, without_empty_columns
from batchai.reports.words import counted, moment, one_line, printable, usd, wait

_INDENT = "  "
_WORDS = ("sent", "outcome", "model", "for")  # columns that begin together
_MOST_PROMPTS = 20  # of one step


def shown_text(shown: Shown, name: str) -> str:
    """An item in full, or a list. name: JOB as the user typed it, for what to type next."""
    lines = _item(shown, name) if isinstance(shown, ShownItem) else _list(shown, name)
    return "\n".join(lines)


def _list(shown: ShownList, name: str) -> Iterator[str]:
    job = shlex.quote(name)
    counts = [f"{number:,} {state}" for state, number in _most_first(shown.items)]
    yield " · ".join(counts) or "no items yet"
    if shown.failures:
        kinds = [f"{number:,} {kind}" for kind, number in shown.failures.items()]
        yield f"failed: {' · '.join(kinds)}"
    if not shown.lines:
        yield f"no {shown.wanted}" if shown.items else ""
        return
    yield f"{shown.wanted}:" if shown.wanted.startswith("items with") else ""
    rows = [["group" if shown.reduction else "key", "", "attempts", "cost", "unconfirmed", ""]]
    rows += [_row(line) for line in shown.lines]
    aligned = without_empty_columns(rows)
    yield from table(aligned, left=(0, 1, len(aligned[0]) - 1))
    yield ""
    if shown.matching > len(shown.lines):
        what = counted(shown.matching, "group" if shown.reduction else "item")
        yield f"the first {len(shown.lines):,} of {what}; more with -n"
    if shown.reduction:
        if shown.failures:
            yield f"next: batchai run {job} --retry {next(iter(shown.failures))}"
        return
    yield f"next: batchai show {job} {shlex.quote(one_line(shown.lines[0].key, most=200))}"


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: -entry[1])


def _row(line: ItemLine) -> list[str]:
    return [
        one_line(line.key, most=40),
        _state(line),
        f"{line.attempts:,}",
        usd(line.cost_usd) if line.cost_usd else "",
        usd(line.unconfirmed_usd) if line.unconfirmed_usd else "",
        one_line(line.error or _brief(line.result)),
    ]


def _item(shown: ShownItem, name: str) -> Iterator[str]:
    item = shown.item
    parts = [one_line(item.key, most=200), _state(item), counted(item.attempts, "attempt")]
    if item.cost_usd:
        parts.append(usd(item.cost_usd))
    if item.unconfirmed_usd:
        parts.append(f"{usd(item.unconfirmed_usd)} unconfirmed")
    if not shown.is_selected:
        parts.append("not in the input's selection any more")
    yield " · ".join(parts)
    yield from _section("row", _pairs(shown.fields or {}))
    for step in shown.steps:
        yield from _step(step, [each for each in shown.attempts if each.step == step.name])
    known = {step.name for step in shown.steps}
    others = [attempt for attempt in shown.attempts if attempt.step not in known]
    for name, found in groupby(others, key=lambda attempt: attempt.step):
        yield from _section(f"attempts of step {printable(name)}", _attempts(list(found)))
    if item.state in {State.FAILED, State.UNKNOWN} and is_worth_a_retry(item.kind):
        yield ""
        yield f"next: batchai run {shlex.quote(name)} --retry {item.kind}"


def _step(step: ShownStep, attempts: Sequence[ShownAttempt]) -> Iterator[str]:
    line = step.line
    if step.name != MAIN_STEP:
        parts = [f"step {printable(step.name)}", _state(line)]
        parts += [counted(line.attempts, "attempt")] if line.attempts else []
        parts += [usd(line.cost_usd)] if line.cost_usd else []
        yield from _section(" · ".join(parts), iter(()))
    for prompt in step.prompts[:_MOST_PROMPTS]:
        yield from _prompt(prompt)
    if len(step.prompts) > _MOST_PROMPTS:
        yield ""
        yield f"(and {len(step.prompts) - _MOST_PROMPTS:,} parts more: --json has all)"
    if step.prompts[0].as_sent is False:
        yield ""
        yield "(the prompt of the job as it is now; what was sent then was different)"
    if line.error:
        yield from _section("why", _indented(line.error))
    if line.state is State.SUCCEEDED:
        model = f" of {printable(line.model)}" if line.model else ""
        yield from _section(f"result{model}", _result(line.result))
    if attempts:
        yield from _section("attempts", _attempts(attempts))


def _prompt(prompt: ShownPrompt) -> Iterator[str]:
    title = f"prompt of part {prompt.part}" if prompt.part else "prompt"
    if prompt.problem:
        yield from _section(title, _indented(prompt.problem))
    for turn in prompt.turns:
        yield from _section(f"{title}, {turn.role}", _indented(turn.content))


def _attempts(attempts: Sequence[ShownAttempt]) -> Iterator[str]:
    rows = [["", "sent", "outcome", "took", "in", "out", "cost", "unconfirmed", "model", "for"]]
    rows += [_attempt_row(attempt) for attempt in attempts]
    aligned = without_empty_columns(rows)
    words = [aligned[0].index(name) for name in aligned[0] if name in _WORDS]
    lines = table(aligned, left=words)
    yield _INDENT + lines[0]
    for attempt, line in zip(attempts, lines[1:], strict=True):
        yield _INDENT + line
        if attempt.detail:
            yield from _indented(attempt.detail, depth=3)
        if attempt.answer:
            yield from _indented(f"answer: {attempt.answer}", depth=3)


def _attempt_row(attempt: ShownAttempt) -> list[str]:
    tokens = attempt.tokens
    return [
        f"{attempt.piece}: {attempt.number}" if attempt.piece else f"{attempt.number}",
        moment(attempt.sent_at),
        "not recorded" if attempt.outcome is None else attempt.outcome.value,
        "" if attempt.latency_seconds is None else wait(attempt.latency_seconds),
        f"{tokens.input:,}" if tokens.input else "",
        f"{tokens.output:,}" if tokens.output else "",
        usd(attempt.cost_usd) if attempt.cost_usd else "",
        usd(attempt.unconfirmed_usd) if attempt.unconfirmed_usd else "",
        printable(attempt.model),
        attempt.purpose or "",
    ]


def _state(line: ItemLine) -> str:
    if line.state is State.FAILED:
        return line.kind or "failed"
    if line.state is State.SUCCEEDED and line.kind != State.SUCCEEDED:
        is_answer = line.kind in {Outcome.DOUBTED, Outcome.TOO_LONG}
        return f"succeeded ({line.kind})" if is_answer else f"fixed values ({line.kind})"
    return line.state.value


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from lines


def _pairs(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        yield from _indented(f"{name}: {_text(value)}")


def _result(result: Any) -> Iterator[str]:
    if isinstance(result, dict):
        return _pairs(result)
    return _indented(_text(result))


def _brief(result: Any) -> str:
    if isinstance(result, dict):
        return ", ".join(f"{name}: {_text(value)}" for name, value in result.items())
    return "" if result is None else _text(result)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _indented(text: str, *, depth: int = 1) -> Iterator[str]:
    for line in printable(text).splitlines() or [""]:
        yield (_INDENT * depth + line).rstrip()
