"""What follows an attempt: pure decisions from the attempts so far.

The history of an item is all that is remembered of it, so that a resumed item goes on where it was:
with the larger max_tokens, or with the same feedback on its invalid answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from batchai.domain import Message, Outcome
from batchai.spec.models import Fixed, Grow, Policies, Policy, Repair

_GROWTH = 2  # a truncated answer is asked for again with twice the max_tokens
_ANSWERED = frozenset({Outcome.TRUNCATED, Outcome.REFUSED, Outcome.EMPTY, Outcome.INVALID})
_UNCOUNTED = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Tried:
    """What is remembered of an attempt. `is_counted` against `attempts:`."""

    outcome: Outcome
    max_tokens: int
    detail: str = ""
    answer: str | None = None
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """How the next request differs from the first."""

    max_tokens: int
    feedback: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Succeed:
    """The item is done with its answer."""


@dataclass(frozen=True, slots=True)
class Fix:
    """The item is done with fixed values in place of an answer."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fail:
    """The item has failed."""


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, after a delay."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing will be served any more: the run stops, the item stays pending."""


Verdict = Succeed | Fix | Fail | Again | Stop


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
    """Whether it counts against `attempts:`; being told to wait or not getting through does not."""
    if outcome is Outcome.CONNECTION_LOST:
        return reached
    return outcome not in _UNCOUNTED


def next_shape(history: Sequence[Tried], *, max_tokens: int, policies: Policies) -> Shape:
    """The next request's max_tokens and feedback turns."""
    feedback: tuple[Message, ...] = ()
    for tried in history:
        if tried.outcome is Outcome.TRUNCATED and isinstance(policies.on_truncated, Grow):
            grown = min(tried.max_tokens * _GROWTH, policies.on_truncated.grow)
            max_tokens = max(max_tokens, grown)
        if tried.outcome is Outcome.INVALID and isinstance(policies.on_invalid, Repair):
            feedback = _feedback(tried)
    return Shape(max_tokens, feedback)


def verdict(history: Sequence[Tried], *, policies: Policies, retries: Retries) -> Verdict:
    """What follows the last attempt of a history."""
    last = history[-1]
    match last.outcome:
        case Outcome.SUCCEEDED:
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
    return Again(float(retries.wait(_call_state(row))))


def _after_answer(history: Sequence[Tried], *, policies: Policies, retries: Retries) -> Verdict:
    last = history[-1]
    policy = _policy(last.outcome, policies)
    is_over = retries.stop(_call_state(_counted(history)))
    match policy:
        case "fail":
            return Fail()
        case "retry":
            return Fail() if is_over else Again(0)
        case Grow(grow=most):
            return Fail() if is_over or last.max_tokens >= most else Again(0)
        case Repair(repair=times, then=then):
            asked = sum(tried.outcome in {Outcome.INVALID, Outcome.EMPTY} for tried in history)
            if asked <= times and not is_over:
                return Again(0)
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
