"""Numbers, foreign text, tables and JSON as people and programs get them."""

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.domain import Usage
from batchai.reports.json_text import json_text
from batchai.reports.tables import table, without_empty_columns
from batchai.reports.words import one_line, printable, usd


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "$0"),
        ("0.000600000000", "$0.0006"),
        ("0.00021", "$0.00021"),
        ("0.000214", "$0.00021"),
        ("0.5", "$0.50"),
        ("0.05", "$0.05"),
        ("0.999", "$1.00"),
        ("1.035", "$1.04"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_money_keeps_two_significant_digits_below_a_dollar(amount: str, words: str) -> None:
    assert usd(Decimal(amount)) == words


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\n\ttext, naïve 日本 🙂", "plain\n\ttext, naïve 日本 🙂"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1bPdevice control\x1b\\x", "x"),
        ("over\rwritten\x08\x08\x00", "overwritten"),
        ("abc\u202edcba\u2066x\u2069", "abcdcbax"),
        ("a\u200b\u2028b\ufeff\u00ad", "ab"),
        ("half \ud800 pair", "half  pair"),
        ("tag\U000e0041", "tag"),
        ("family 👩\u200d👧", "family 👩\u200d👧"),
        ("unended \x1b]0;title", "unended ]0;title"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_text_cannot_steer_a_terminal(text: str, seen: str) -> None:
    assert printable(text) == seen


@given(st.text(st.characters(exclude_categories=[])))
def test_no_control_or_direction_character_is_ever_printed(text: str) -> None:
    for character in printable(text):
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(character) not in {"LRE", "RLE", "LRO", "RLO", "PDF"}
        assert unicodedata.bidirectional(character) not in {"LRI", "RLI", "FSI", "PDI"}


def test_long_hostile_text_is_cleaned_in_linear_time() -> None:
    assert printable("\x90" * 1_000_000 + "\x1b]" * 500_000) == "]" * 500_000


def test_one_line_is_one_line() -> None:
    assert one_line("a\n b\t\r c") == "a b c"
    assert one_line("x" * 50, most=10) == "xxxxxxxxx…"


def test_columns_align_also_where_characters_are_wide() -> None:
    lines = table([["key", "n", ""], ["日本", "1,000", "x"], ["ab", "7"]], left=(0, 2))
    assert lines == ["key       n", "日本  1,000  x", "ab        7"]


def test_columns_without_a_figure_are_left_out() -> None:
    rows = [["", "attempts", "cost"], ["title"], ["a", "1", ""]]
    assert without_empty_columns(rows) == [["", "attempts"], ["title", ""], ["a", "1"]]


@dataclass(frozen=True, slots=True)
class _Value:
    cost_usd: Decimal
    at: datetime
    day: date
    tokens: Usage
    names: tuple[str, ...]


def test_json_has_money_as_strings_without_exponents_and_nothing_but_ascii() -> None:
    value = _Value(
        Decimal(0).scaleb(-12),
        datetime(2026, 11, 22, 6, 5, tzinfo=UTC),
        date(2026, 11, 22),
        Usage(output=7),
        ("\x1b[31m\u202e日",),
    )
    text = json_text(value)
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text) == {
        "schema_version": 1,
        "cost_usd": "0",
        "at": "2026-11-22T06:05:00+00:00",
        "day": "2026-11-22",
        "tokens": {
            "uncached_input": 0,
            "cache_read": 0,
            "cache_write_5m": 0,
            "cache_write_1h": 0,
            "output": 7,
            "reasoning": 0,
        },
        "names": ["\x1b[31m\u202e日"],
    }
    assert json.loads(json_text({"a": Decimal("0.000000100")}))["a"] == "0.0000001"
