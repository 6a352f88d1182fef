"""The items that the page holds, as data that can only be read: never markup, never a script."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from batchai.domain import MAIN_STEP, State
from batchai.reports.shown import ShownAttempt, ShownItem, ShownPrompt
from batchai.reports.words import moment, printable, usd, wait

_MOST_TEXT = 4_000  # of one text
_MOST_PROMPTS = 20  # of one item
_MOST_ATTEMPTS = 200  # of one item
_MARKUP = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


@dataclass(slots=True)
class PageItems:
    """Items as the page's script reads them; texts that many share are held once.

    total: how many selected items there are, in the page or not. size: in bytes.
    """

    total: int
    size: int = 0
    items: list[str] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)

    def fill(self, shown: Iterable[ShownItem], *, most_bytes: int) -> None:
        """Take items in, in their order, until the page holds so much."""
        for item in shown:
            text = _escaped(self._values(item))
            self.items.append(text)
            self.size += _size(text)
            if self.size >= most_bytes:
                break

    def json_text(self) -> str:
        """JSON without a character that ends a script, or begins markup."""
        items = ",".join(self.items)
        return f'{{"texts":{_escaped(list(self.texts))},"items":[{items}]}}'

    def _values(self, shown: ShownItem) -> dict[str, Any]:
        item = shown.item
        return {
            "key": printable(item.key),
            "state": item.kind or item.state.value
            if item.state is State.FAILED
            else item.state.value,
            "good": item.state is State.SUCCEEDED,
            "cost": usd(item.cost_usd),
            "usd": float(item.cost_usd),
            "attempts": item.attempts,
            "error": _cut(item.error),
            "answer": self._held(_text(item.result)) if item.result is not None else None,
            "note": printable(shown.prompt.problem),
            "prompt": [
                [f"{title}{turn.role}", self._held(turn.content)]
                for title, prompt in islice(_prompts(shown), _MOST_PROMPTS)
                for turn in prompt.turns
            ],
            "tries": [self._attempt(attempt) for attempt in shown.attempts[:_MOST_ATTEMPTS]],
        }

    def _attempt(self, attempt: ShownAttempt) -> list[Any]:
        outcome = "not recorded" if attempt.outcome is None else attempt.outcome.value
        where = [attempt.step if attempt.step != MAIN_STEP else "", attempt.piece]
        return [
            moment(attempt.sent_at),
            printable(" · ".join([*filter(None, where), outcome])),
            printable(attempt.model),
            "" if attempt.latency_seconds is None else wait(attempt.latency_seconds),
            attempt.tokens.input,
            attempt.tokens.output,
            usd(attempt.cost_usd),
            _cut(attempt.detail),
            self._held(attempt.answer) if attempt.answer else None,
        ]

    def _held(self, text: str) -> int:
        """The number of a text."""
        text = _cut(text)
        if text not in self.texts:
            self.texts[text] = len(self.texts)
            self.size += _size(_escaped(text))
        return self.texts[text]


def _prompts(shown: ShownItem) -> Iterator[tuple[str, ShownPrompt]]:
    """Those of all steps, each with the beginning of its title."""
    for step in shown.steps:
        for prompt in step.prompts:
            where = [printable(step.name)] if step.name != MAIN_STEP else []
            where += [f"part {prompt.part}"] if prompt.part else []
            yield "".join(f"{word}, " for word in where), prompt


def _text(result: Any) -> str:
    if isinstance(result, str):
        return result
    return json.dumps(result, indent=1, ensure_ascii=False)


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… (cut here)"


def _escaped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_MARKUP)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
