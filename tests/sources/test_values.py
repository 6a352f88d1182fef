from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from batchai.sources.values import plain


@dataclass
class Scalar:
    """As those of numpy: a number that is no int and has `item`."""

    value: int

    def item(self) -> int:
        return self.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (float("nan"), None),
        (Decimal("1E+2"), "100"),
        (date(2026, 3, 1), "2026-03-01"),
        (timedelta(hours=1), "1:00:00"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (memoryview(b"\x00"), "AA=="),
        (Scalar(7), 7),
        ({1: ("a", {"\ud800": b""})}, {"1": ["a", {"\ufffd": ""}]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_foreign_values_become_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected
