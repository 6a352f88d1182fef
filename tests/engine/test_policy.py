"""What follows an attempt: tables over outcome, policy and history."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import wait_fixed

from batchai.domain import Outcome
from batchai.engine.policy import (
    Again,
    Fail,
    Fix,
    Retries,
    Stop,
    Succeed,
    Tried,
    Verdict,
    is_counted,
    next_shape,
    verdict,
)
from batchai.spec.models import Fixed, Grow, Policies, Repair

ATTEMPTS = 5
VALUES = {"mood": "bad"}
DEFAULT = Policies()
FAILURES = [
    Outcome.SERVER_ERROR,
    Outcome.CONNECTION_LOST,
    Outcome.TIMED_OUT,
    Outcome.MALFORMED,
]
UNCOUNTED = [Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.UNKNOWN]
LASTING = [Outcome.REJECTED, Outcome.UNRENDERABLE, Outcome.OVER_LIMIT]
VALID = [Outcome.SUCCEEDED, Outcome.DOUBTED]
STOPPING = [Outcome.AUTH_FAILED, Outcome.QUOTA_EXHAUSTED, Outcome.UNKNOWN_MODEL]


def tried(*outcomes: Outcome, max_tokens: int = 64, **fields: Any) -> list[Tried]:
    return [
        Tried(outcome, max_tokens, is_counted=is_counted(outcome, reached=True), **fields)
        for outcome in outcomes
    ]


def after(history: Sequence[Tried], **policies: Any) -> Verdict:
    retries = Retries(stop=Retries.of(ATTEMPTS).stop, wait=wait_fixed(7))
    return verdict(history, policies=Policies(**policies), retries=retries)


def test_every_outcome_has_a_verdict() -> None:
    for outcome in Outcome:
        assert after(tried(outcome)) is not None


def test_success_ends_an_item_whatever_came_before() -> None:
    assert after(tried(Outcome.INVALID, Outcome.TIMED_OUT, Outcome.SUCCEEDED)) == Succeed()


@pytest.mark.parametrize("outcome", STOPPING)
def test_what_nobody_will_be_served_stops_the_run(outcome: Outcome) -> None:
    assert after(tried(outcome)) == Stop()


@pytest.mark.parametrize("outcome", LASTING)
def test_what_will_never_be_served_fails_at_once(outcome: Outcome) -> None:
    assert after(tried(outcome)) == Fail()


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_is_tried_again_after_a_wait_until_the_attempts_are_used_up(
    outcome: Outcome,
) -> None:
    verdicts = [after(tried(*[outcome] * times)) for times in range(1, ATTEMPTS + 1)]

    assert verdicts == [Again(7)] * (ATTEMPTS - 1) + [Fail()]


@pytest.mark.parametrize("outcome", UNCOUNTED)
def test_being_told_to_wait_never_uses_up_an_attempt(outcome: Outcome) -> None:
    assert after(tried(*[outcome] * 500)) == Again(7)
    failures = [Outcome.SERVER_ERROR] * (ATTEMPTS - 1)
    assert after(tried(*failures, *[outcome] * 9)) == Again(7)
    assert after(tried(*failures, outcome, Outcome.SERVER_ERROR)) == Fail()


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("reached", [True, False])
def test_which_attempts_count(outcome: Outcome, reached: bool) -> None:
    lost_on_the_way = outcome is Outcome.CONNECTION_LOST and not reached

    assert is_counted(outcome, reached=reached) is (
        outcome not in {*UNCOUNTED, *STOPPING} and not lost_on_the_way
    )


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Outcome.TRUNCATED, "on_truncated"),
        (Outcome.INVALID, "on_invalid"),
        (Outcome.EMPTY, "on_invalid"),
        (Outcome.REFUSED, "on_refused"),
    ],
)
@pytest.mark.parametrize(
    ("policy", "first", "last"),
    [
        ("fail", Fail(), Fail()),
        ("retry", Again(0), Fail()),
        (Fixed(values=VALUES), Fix(VALUES), Fix(VALUES)),
    ],
    ids=["fail", "retry", "fixed"],
)
def test_answers_that_are_no_result_follow_their_own_policy(
    outcome: Outcome, name: str, policy: Any, first: Verdict, last: Verdict
) -> None:
    assert after(tried(outcome), **{name: policy}) == first
    assert after(tried(*[outcome] * ATTEMPTS), **{name: policy}) == last


def test_a_refused_answer_fails_unless_the_job_says_otherwise() -> None:
    assert after(tried(Outcome.REFUSED)) == Fail()


@pytest.mark.parametrize(
    ("times", "then", "expected"),
    [
        (0, "fail", [Fail()]),
        (2, "fail", [Again(0), Again(0), Fail()]),
        (1, VALUES, [Again(0), Fix(VALUES)]),
        (9, "fail", [Again(0)] * 4 + [Fail()]),
        (9, VALUES, [Again(0)] * 4 + [Fix(VALUES)]),
    ],
    ids=["none", "two", "then values", "attempts end it", "attempts end it with values"],
)
@pytest.mark.parametrize("outcome", [Outcome.INVALID, Outcome.EMPTY])
def test_invalid_answers_are_repaired_so_often(
    outcome: Outcome, times: int, then: Any, expected: list[Verdict]
) -> None:
    policy = Repair(repair=times, then=then)

    found = [
        after(tried(*[outcome] * number), on_invalid=policy)
        for number in range(1, len(expected) + 1)
    ]

    assert found == expected


def test_failures_in_between_use_up_no_repair() -> None:
    history = tried(Outcome.INVALID, Outcome.TIMED_OUT, Outcome.RATE_LIMITED, Outcome.INVALID)

    assert after(history, on_invalid=Repair(repair=2)) == Again(0)
    assert after(history, on_invalid=Repair(repair=1)) == Fail()


def test_a_truncated_answer_grows_to_the_bound_and_then_fails() -> None:
    policies = Policies(on_truncated=Grow(grow=200))
    history: list[Tried] = []
    sizes = []
    while True:
        sizes.append(next_shape(history, max_tokens=64, policies=policies).max_tokens)
        history += tried(Outcome.TRUNCATED, max_tokens=sizes[-1])
        if after(history, on_truncated=Grow(grow=200)) == Fail():
            break

    assert sizes == [64, 128, 200]


def test_a_bound_below_max_tokens_never_makes_a_request_smaller() -> None:
    policies = Policies(on_truncated=Grow(grow=100))
    history = tried(Outcome.TRUNCATED, max_tokens=256)

    assert next_shape(history, max_tokens=256, policies=policies).max_tokens == 256
    assert after(history, on_truncated=Grow(grow=100)) == Fail()


def test_what_was_grown_stays_grown_over_other_failures() -> None:
    history = [
        *tried(Outcome.TRUNCATED, max_tokens=64),
        *tried(Outcome.SERVER_ERROR, Outcome.INVALID, max_tokens=128),
    ]

    assert next_shape(history, max_tokens=64, policies=DEFAULT).max_tokens == 128


def test_the_newest_invalid_answer_is_the_feedback() -> None:
    history = [
        *tried(Outcome.INVALID, answer="{}", detail="mood is missing"),
        *tried(Outcome.INVALID, answer='{"mood": 1}', detail="mood is no string"),
        *tried(Outcome.RATE_LIMITED),
    ]

    assistant, user = next_shape(history, max_tokens=64, policies=DEFAULT).feedback

    assert (assistant.role, assistant.content) == ("assistant", '{"mood": 1}')
    assert user.role == "user"
    assert "cannot be used: mood is no string" in user.content


@pytest.mark.parametrize(
    ("history", "policies"),
    [
        (tried(Outcome.INVALID, answer=None), DEFAULT),
        (tried(Outcome.INVALID, answer=""), DEFAULT),
        (tried(Outcome.INVALID, answer="x"), Policies(on_invalid="retry")),
        (tried(Outcome.TRUNCATED, answer="x"), DEFAULT),
        ([], DEFAULT),
    ],
    ids=["answer not retained", "empty answer", "no repair", "not invalid", "nothing yet"],
)
def test_without_an_invalid_answer_to_repair_the_request_stays_as_it_was(
    history: list[Tried], policies: Policies
) -> None:
    assert next_shape(history, max_tokens=64, policies=policies).feedback == ()


def test_waits_grow_at_random_from_half_a_second_to_a_minute() -> None:
    retries = Retries.of(1000)

    def waits(failures: int) -> list[float]:
        history = tried(*[Outcome.OVERLOADED] * failures)
        found = [verdict(history, policies=DEFAULT, retries=retries) for _ in range(200)]
        return [one.delay_seconds for one in found if isinstance(one, Again)]

    assert all(0.5 <= wait <= 1 for wait in waits(1))
    assert all(0.5 <= wait <= 4 for wait in waits(3))
    assert all(0.5 <= wait <= 60 for wait in waits(5000))
    assert max(waits(50)) > 30
    assert len(set(waits(3))) > 100


def test_an_answer_in_between_begins_the_waits_anew() -> None:
    retries = Retries.of(1000)
    history = tried(*[Outcome.TIMED_OUT] * 9, Outcome.INVALID, Outcome.TIMED_OUT)

    for _ in range(50):
        found = verdict(history, policies=DEFAULT, retries=retries)
        assert isinstance(found, Again)
        assert found.delay_seconds <= 1


outcomes = st.sampled_from(
    [o for o in Outcome if o not in {*UNCOUNTED, *STOPPING, *LASTING, *VALID}]
)
any_policy = st.sampled_from(["retry", "fail", Fixed(values=VALUES)])


@given(
    history=st.lists(outcomes, min_size=ATTEMPTS, max_size=ATTEMPTS),
    truncated=any_policy | st.just(Grow(grow=10**9)),
    invalid=any_policy | st.just(Repair(repair=99)),
    refused=any_policy,
)
def test_no_policy_gives_an_item_more_than_its_attempts(
    history: list[Outcome], truncated: Any, invalid: Any, refused: Any
) -> None:
    found = after(tried(*history), on_truncated=truncated, on_invalid=invalid, on_refused=refused)

    assert isinstance(found, Fail | Fix)
