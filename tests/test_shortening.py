"""Requests that are made to fit: which piece of data is cut, and by how much."""

from batchai.domain import Message
from batchai.prompts import Rendered, shortened

LONG, SHORT = "word " * 200, "a title"


def _asked(*texts: str) -> Rendered:
    return Rendered("Be brief.", tuple(Message("user", text) for text in texts))


def test_the_longest_text_of_the_item_that_stands_in_the_prompt_is_cut() -> None:
    item = {"title": SHORT, "body": LONG, "unused": LONG * 2}

    found = shortened(_asked(f"{SHORT}: {LONG}"), keeps=0.5, item=item, results={})

    assert found is not None
    assert (found.field, found.rendered.system) == ("item.body", "Be brief.")
    (message,) = found.rendered.messages
    assert message.content.startswith(f"{SHORT}: word word")
    assert abs(found.rendered.chars - 509) <= 1  # half of what it was
    assert found.note == "item.body was cut to its first 49% to fit the context window"


def test_results_of_earlier_steps_are_data_too() -> None:
    results = {"split": {"parts": [SHORT, LONG]}}

    found = shortened(_asked(LONG), keeps=0.8, item={}, results=results)

    assert found is not None
    assert found.field == "steps.split.parts[1]"


def test_a_text_that_stands_there_twice_is_cut_in_both_places() -> None:
    found = shortened(_asked(LONG, LONG), keeps=0.5, item={"body": LONG}, results={})

    assert found is not None
    assert len({message.content for message in found.rendered.messages}) == 1
    assert abs(found.rendered.chars - 1004) <= 2


def test_where_data_is_too_small_a_part_of_the_prompt_nothing_is_cut() -> None:
    assert shortened(_asked(LONG + SHORT), keeps=0.5, item={"title": SHORT}, results={}) is None
    assert shortened(_asked(LONG), keeps=0.5, item={"body": "not there"}, results={}) is None
