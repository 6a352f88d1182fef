import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.errors import BadRowError
from batchai.sources import content_key, key_of

PART = st.text(st.sampled_from("ab/\\"), min_size=1, max_size=4)


def test_a_key_of_one_column_is_its_value_as_text() -> None:
    assert key_of({"id": "a/b"}, ("id",)) == "a/b"
    assert key_of({"id": 7}, ("id",)) == "7"
    assert key_of({"id": " x "}, ("id",)) == " x "


def test_a_key_of_two_columns_cannot_be_mistaken() -> None:
    assert key_of({"a": "x", "b": 1}, ("a", "b")) == "x/1"
    assert key_of({"a": "a/b", "b": "c"}, ("a", "b")) != key_of({"a": "a", "b": "b/c"}, ("a", "b"))


@given(st.tuples(PART, PART), st.tuples(PART, PART))
def test_different_values_make_different_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (key_of({"a": a, "b": b}, ("a", "b")) for a, b in (one, other))

    assert (first == second) == (one == other)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Id": 1}, "has no key column 'id'; did you mean 'Id'"),
        ({"id": None}, "is empty"),
        ({"id": "  "}, "is empty"),
        ({"id": ["a"]}, "holds a list"),
        ({"id": "a\0b"}, "holds a NUL"),
    ],
)
def test_a_record_without_a_usable_key_is_a_bad_row(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRowError, match=message):
        key_of(fields, ("id",))


def test_a_content_key_depends_on_names_and_values_and_not_on_order() -> None:
    key = content_key({"a": 1, "b": {"x": None, "y": "é"}})

    assert content_key({"b": {"y": "é", "x": None}, "a": 1}) == key
    assert content_key({"a": "1", "b": {"x": None, "y": "é"}}) != key
    assert len(key) == 16
    assert int(key, 16) >= 0


@pytest.mark.parametrize("value", [10**40, "\ud800", {"deep": [10**40, "\udfff"]}, math.pi])
def test_a_content_key_exists_for_every_value(value: Any) -> None:
    assert content_key({"a": value}) == content_key({"a": value}) != content_key({"a": 1})
