"""Items for a person to look at: one in full, or a list of them. JSON: `json_text` of the value."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from batchai.domain import MAIN_STEP, Outcome, Purpose, State, Usage


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a prompt; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """An item's prompt, rendered again from its stored row with the job of now.

    problem: why it cannot be; then there are no turns. as_sent: whether it is the request that the
    stored result or failure came of; None where there is none yet. part: of a step with several.
    """

    turns: tuple[Turn, ...]
    problem: str = ""
    as_sent: bool | None = None
    part: int = 0


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """One attempt. outcome None: sent and not recorded. model: who answered, else who was asked.

    answer: what the model wrote where that became no result (a result is the item's). purpose: the
    policy that it was made for, None for an item's first. part: of a step with several requests,
    `piece` in words.
    """

    number: int
    run: int
    outcome: Outcome | None
    model: str
    sent_at: datetime
    latency_seconds: float | None
    max_tokens: int
    tokens: Usage
    cost_usd: Decimal
    unconfirmed_usd: Decimal
    status: int | None
    request_id: str | None
    detail: str
    answer: str | None
    purpose: Purpose | None
    step: str = MAIN_STEP
    part: int = 0
    piece: str = ""


@dataclass(frozen=True, slots=True)
class ItemLine:
    """An item in short. kind: how its last attempt ended, None before the first.

    result: of named steps, a map of step → result. cost_usd: of all its attempts;
    unconfirmed_usd: what they may have cost beside.
    """

    key: str
    state: State
    kind: str | None
    error: str
    result: Any
    model: str | None
    attempts: int
    cost_usd: Decimal
    unconfirmed_usd: Decimal


@dataclass(frozen=True, slots=True)
class ShownStep:
    """An item in a step that it has come to. attempts, costs: of the step."""

    name: str
    line: ItemLine
    prompts: tuple[ShownPrompt, ...]


@dataclass(frozen=True, slots=True)
class ShownItem:
    """One item in full. fields: its row, None where the store does not keep it.

    prompt: the first of the step where it stands, or of its last. attempts: of all steps, step by
    step and part by part. steps: those that it has come to.
    position: in the input, from 0. is_selected: whether it is in the input's selection still.
    """

    job: str
    item: ItemLine
    position: int
    is_selected: bool
    fields: dict[str, Any] | None
    settled_at: datetime | None
    prompt: ShownPrompt
    attempts: tuple[ShownAttempt, ...]
    steps: tuple[ShownStep, ...]


@dataclass(frozen=True, slots=True)
class ShownList:
    """Selected items of one sort. items, failures: how many there are of each state and kind.

    wanted: the sort in words; matching: how many are of it, `lines` the first of them.
    reduction: the step whose groups these are, "" where they are items.
    """

    job: str
    items: dict[str, int]
    failures: dict[str, int]
    wanted: str
    matching: int
    lines: tuple[ItemLine, ...]
    reduction: str = ""


Shown = ShownItem | ShownList
