"""JSON and times come back as they were written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.store.values import from_json, from_ms, to_json, to_ms

any_text = st.text() | st.text(st.characters())  # the second with lone surrogates
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=10,
)
times = st.integers(0, 2 * 10**17).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)


@given(values)
def test_any_json_value_survives(value: Any) -> None:
    text = to_json(value)

    assert from_json(text) == value
    assert type(from_json(text)) is type(value)
    text.encode()  # or SQLite would not take it


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64, 10**40, -(2**63) - 1])
def test_integers_of_any_size_stay_integers(number: int) -> None:
    found = from_json(to_json({"deep": [number]}))["deep"][0]

    assert found == number
    assert isinstance(found, int)


def test_what_is_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        from_json('{"cut": ')


@given(times)
def test_times_are_kept_to_the_millisecond(time: datetime) -> None:
    assert timedelta(0) <= time - from_ms(to_ms(time)) < timedelta(milliseconds=1)
