"""Fingerprints: which requests are the same, and which prompts made them."""

from typing import Any

import pytest

from batchai.domain import Message
from batchai.prompts import Prompts, Rendered, is_same_request
from batchai.spec.models import Prompt

ITEM = {"text": "late again"}


def prompts(user: str = "Sort: {{ item.text }}", identity: Any = "a model", **vars: Any) -> Prompts:
    return Prompts(Prompt(user=user), variables=vars, identity=identity, place="job.yaml")


def fingerprint(made_by: Prompts) -> bytes:
    return made_by.fingerprint(made_by.render(ITEM))


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(prompts(), True, id="equal"),
        pytest.param(prompts("Sort: {{ item['text'] }}"), True, id="other words for the same"),
        pytest.param(prompts(unused=1), True, id="a variable that is not used"),
        pytest.param(prompts("Class: {{ item.text }}"), False, id="another text"),
        pytest.param(prompts(identity="another"), False, id="another model"),
    ],
)
def test_requests_are_the_same_when_all_that_is_sent_is(other: Prompts, is_same: bool) -> None:
    assert is_same_request(fingerprint(prompts()), fingerprint(other)) is is_same


def test_a_fingerprint_knows_the_prompts_that_made_it() -> None:
    ours, reworded = prompts(), prompts("Sort: {{ item['text'] }}")

    assert prompts().have_made(fingerprint(ours))
    assert not reworded.have_made(fingerprint(ours))
    assert not prompts(unused=1).have_made(fingerprint(ours))
    assert not prompts(identity="another").have_made(fingerprint(ours))
    assert not ours.have_made(None)


def test_where_one_text_ends_and_the_next_begins_makes_a_difference() -> None:
    turns = [("ab", "c"), ("a", "bc")]
    made = [
        prompts().fingerprint(
            Rendered(system, (Message("user", first),)),
        )
        for system, first in turns
    ]

    assert not is_same_request(*made)
