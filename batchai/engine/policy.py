"""What follows an attempt: pure decisions from the attempts so far.

The history of an item is all that is remembered of it, so that a resumed item goes on where it was:
with the larger max_tokens, with the same feedback on its invalid answer, at the model of its turn.
Who is asked has a number: the step's own model 0, then `fallback`, then the one of `escalate`. Each
has its own retries and repairs, and begins with the request as it was first sent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from batchai.domain import Message, Outcome, Purpose
from batchai.spec.models import Fixed, Grow, Policies, Policy, Repair, Split

_GROWTH = 2  # a truncated answer is asked for again with twice the max_tokens
_ANSWERED = frozenset(
    {Outcome.TRUNCATED, Outcome.REFUSED, Outcome.EMPTY, Outcome.INVALID, Outcome.DOUBTED}
)
_WAITING = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED})
_LEAST_RATIO = 0.1  # of a limit to what was asked for: anything below is no such pair of numbers
_MARGIN = 0.9  # what is asked for, since tokens are no characters
_NUMBER = re.compile(r"\d[\d,]*\d")
_UNSERVED = frozenset({Outcome.AUTH_FAILED, Outcome.QUOTA_EXHAUSTED, Outcome.UNKNOWN_MODEL})
_UNCOUNTED = _WAITING | _UNSERVED | {Outcome.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Tried:
    """What is remembered of an attempt. `is_counted` against `attempts:`.

    answer: of an invalid or doubted one. asker: the number of the model that was asked.
    """

    outcome: Outcome
    max_tokens: int
    detail: str = ""
    answer: str | None = None
    is_counted: bool = True
    asker: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the next request differs from the first.

    keeps: the share of its text that fits the model's context window.
    """

    max_tokens: int
    feedback: tuple[Message, ...] = ()
    keeps: float = 1.0


@dataclass(frozen=True, slots=True)
class Succeed:
    """The item is done with its answer."""


@dataclass(frozen=True, slots=True)
class Fix:
    """The item is done with fixed values in place of an answer."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stand:
    """The item is done with the answer that was in doubt: the larger model gave none."""

    doubted: Tried


@dataclass(frozen=True, slots=True)
class Fail:
    """The item has failed."""


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, after a delay, of the model with this number."""

    delay_seconds: float
    asker: int = 0


@dataclass(frozen=True, slots=True)
class Divide:
    """The request does not fit, and is asked in parts that keep this share of its text."""

    keeps: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing will be served any more: the run stops, the item stays pending."""


Verdict = Succeed | Fix | Stand | Fail | Again | Divide | Stop


@dataclass(frozen=True, slots=True)
class Retries:
    """How often an item is tried in a run, and how long it waits between."""

    stop: stop_base
    wait: wait_base

    @classmethod
    def of(cls, attempts: int) -> "Retries":
        """So many attempts an item and run; 0.5 to 60 s between them, random and growing."""
        return cls(
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=1, min=0.5, max=60),
        )


def is_counted(outcome: Outcome, *, reached: bool) -> bool:
    """Whether it counts against `attempts:`: not where the provider served nobody just then."""
    if outcome is Outcome.CONNECTION_LOST:
        return reached
    return outcome not in _UNCOUNTED


def next_shape(
    history: Sequence[Tried], *, max_tokens: int, policies: Policies, asker: int = 0
) -> Shape:
    """How the next request to a model differs from the first, by what came of those to it."""
    feedback: tuple[Message, ...] = ()
    keeps = 1.0
    for tried in _of(history, asker):
        if tried.outcome is Outcome.TRUNCATED and isinstance(policies.on_truncated, Grow):
            grown = min(tried.max_tokens * _GROWTH, policies.on_truncated.grow)
            max_tokens = max(max_tokens, grown)
        if tried.outcome is Outcome.INVALID and isinstance(policies.on_invalid, Repair):
            feedback = _feedback(tried)
        if tried.outcome is Outcome.TOO_LONG and policies.on_too_long == "truncate":
            keeps *= fitting_share(tried.detail)
    return Shape(max_tokens, feedback, keeps)


def left_at(history: Sequence[Tried], *, policies: Policies, retries: Retries) -> "Again | Divide":
    """How an item goes on that an earlier launch has left."""
    if not history:
        return Again(0)
    found = verdict(history, policies=policies, retries=retries)
    return found if isinstance(found, Again | Divide) else Again(0, history[-1].asker)


def purpose(history: Sequence[Tried], *, policies: Policies, asker: int) -> Purpose | None:
    """Which policy the next attempt is made for; None: it is the first."""
    if asker:
        return Purpose.ESCALATE if asker == policies.larger else Purpose.FALLBACK
    if not history:
        return None
    match history[-1].outcome:
        case Outcome.TRUNCATED:
            return Purpose.ON_TRUNCATED
        case Outcome.INVALID | Outcome.EMPTY:
            return Purpose.ON_INVALID
        case Outcome.REFUSED:
            return Purpose.ON_REFUSED
        case Outcome.TOO_LONG:
            return Purpose.ON_TOO_LONG
        case _:
            return Purpose.RETRY


def verdict(history: Sequence[Tried], *, policies: Policies, retries: Retries) -> Verdict:
    """What follows the last attempt of a history."""
    last = history[-1]
    if last.outcome is Outcome.SUCCEEDED:  # nearly always
        return Succeed()
    found = _verdict(_of(history, last.asker), policies=policies, retries=retries)
    has_failed = isinstance(found, Fail | Fix)
    if last.asker == policies.larger:
        gives_up = has_failed or isinstance(found, Divide)
        return Stand(_doubted(history)) if gives_up else found
    if last.outcome is Outcome.DOUBTED and policies.larger is not None:
        return Again(0, policies.larger)
    if last.asker < len(policies.fallbacks) and _falls_back(last, policies, has_failed=has_failed):
        return Again(0, last.asker + 1)
    return found


def _falls_back(last: Tried, policies: Policies, *, has_failed: bool) -> bool:
    """After failures, and in place of waiting where that is named."""
    after = policies.fallback.on if policies.fallback is not None else ()
    if last.outcome in _WAITING:
        return after is not None and last.outcome in after
    return has_failed and (after is None or last.outcome in after)


def _doubted(history: Sequence[Tried]) -> Tried:
    return next(tried for tried in reversed(history) if tried.outcome is Outcome.DOUBTED)


def _of(history: Sequence[Tried], asker: int) -> Sequence[Tried]:
    return [tried for tried in history if tried.asker == asker]


def _verdict(history: Sequence[Tried], *, policies: Policies, retries: Retries) -> Verdict:
    """What follows the last attempt at one model, as if there were no other."""
    last = history[-1]
    match last.outcome:
        case Outcome.SUCCEEDED | Outcome.DOUBTED:
            return Succeed()
        case Outcome.AUTH_FAILED | Outcome.QUOTA_EXHAUSTED | Outcome.UNKNOWN_MODEL:
            return Stop()
        case Outcome.TRUNCATED | Outcome.INVALID | Outcome.EMPTY | Outcome.REFUSED:
            return _after_answer(history, policies=policies, retries=retries)
        case (
            Outcome.RATE_LIMITED
            | Outcome.OVERLOADED
            | Outcome.SERVER_ERROR
            | Outcome.CONNECTION_LOST
            | Outcome.TIMED_OUT
            | Outcome.MALFORMED
            | Outcome.UNKNOWN
        ):
            return _after_failure(history, retries)
        case Outcome.TOO_LONG if isinstance(policies.on_too_long, Split):
            return Divide(fitting_share(last.detail))
        case Outcome.TOO_LONG:
            is_over = retries.stop(_call_state(_counted(history)))
            is_cut = policies.on_too_long == "truncate" and not is_over
            return Again(0, last.asker) if is_cut else Fail()
        case Outcome.REJECTED | Outcome.UNRENDERABLE | Outcome.OVER_LIMIT:
            return Fail()
        case _:
            assert_never(last.outcome)


def _after_failure(history: Sequence[Tried], retries: Retries) -> Verdict:
    state = _call_state(_counted(history))
    if history[-1].is_counted and retries.stop(state):
        return Fail()
    served = [number for number, tried in enumerate(history, 1) if tried.outcome in _ANSWERED]
    row = len(history) - (served[-1] if served else 0)  # failures in a row
    return Again(float(retries.wait(_call_state(row))), history[-1].asker)


def _after_answer(history: Sequence[Tried], *, policies: Policies, retries: Retries) -> Verdict:
    last = history[-1]
    policy = _policy(last.outcome, policies)
    is_over = retries.stop(_call_state(_counted(history)))
    match policy:
        case "fail":
            return Fail()
        case "retry":
            return Fail() if is_over else Again(0, last.asker)
        case Grow(grow=most):
            return Fail() if is_over or last.max_tokens >= most else Again(0, last.asker)
        case Repair(repair=times, then=then):
            asked = sum(tried.outcome in {Outcome.INVALID, Outcome.EMPTY} for tried in history)
            if asked <= times and not is_over:
                return Again(0, last.asker)
            return Fail() if then == "fail" else Fix(then)
        case Fixed(values=values):
            return Fix(values)
        case _:
            assert_never(policy)


def _policy(outcome: Outcome, policies: Policies) -> Policy:
    if outcome is Outcome.TRUNCATED:
        return policies.on_truncated
    if outcome is Outcome.REFUSED:
        return policies.on_refused
    return policies.on_invalid


def _counted(history: Sequence[Tried]) -> int:
    return sum(tried.is_counted for tried in history)


def _call_state(attempt_number: int) -> RetryCallState:
    """What tenacity's strategies read: only the number of the attempt."""
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = max(1, attempt_number)
    return state


def _feedback(tried: Tried) -> tuple[Message, ...]:
    if not tried.answer:
        return ()
    return (
        Message("assistant", tried.answer),
        Message(
            "user",
            f"That answer cannot be used: {tried.detail}\n"
            "Answer the request again, in full, in the form it asks for and nothing else.",
        ),
    )


def fitting_share(detail: str) -> float:
    """How much of a prompt fits, as far as the provider's words tell: the limit, and beyond it."""
    numbers = sorted({int(found.replace(",", "")) for found in _NUMBER.findall(detail)})
    if len(numbers) < 2 or numbers[-2] < _LEAST_RATIO * numbers[-1]:
        return 0.5
    return _MARGIN * numbers[-2] / numbers[-1]
