import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from batchai.clock import Clock
from batchai.errors import SpecError
from batchai.operations.models import models, models_json, models_text


class November(Clock):
    """A clock that stands in November 2026."""

    def utcnow(self) -> datetime:
        return datetime(2026, 11, 1, tzinfo=UTC)


def names(pattern: str = "") -> list[str]:
    return [f"{info.provider}/{info.id}" for info in models(pattern, clock=November()).models]


def test_local_models_come_first_then_the_providers_of_our_own() -> None:
    found = names()

    assert found[0] == "local/smollm2-135m"
    assert list(dict.fromkeys(name.partition("/")[0] for name in found)) == [
        "local",
        "anthropic",
        "openai",
    ]
    assert {"anthropic/claude-haiku-4-5", "openai/gpt-5.4-mini"} <= set(found)


def test_within_a_provider_the_cheapest_comes_first_and_the_ended_last() -> None:
    found = [
        info for info in models("openai/", clock=November()).models if info.provider == "openai"
    ]

    today = November().utcnow().date()
    ended = [info.end_of_life is not None and info.end_of_life < today for info in found]
    assert True in ended
    assert ended == sorted(ended)
    living = [info.input_mtok for info, is_over in zip(found, ended, strict=True) if not is_over]
    assert living == sorted(living)


@pytest.mark.parametrize("pattern", ["haiku-4-5", "HAIKU-4-5", "anthropic/*haiku-4-5"])
def test_a_pattern_is_a_part_of_the_name_or_a_glob(pattern: str) -> None:
    assert "anthropic/claude-haiku-4-5" in names(pattern)
    assert all("haiku-4-5" in name for name in names(pattern))


def test_a_dated_name_leads_to_the_entry_that_prices_it() -> None:
    assert names("openai/gpt-5.4-mini-2026-03-17") == ["openai/gpt-5.4-mini"]


def test_the_table_is_aligned_and_says_prices_context_and_end() -> None:
    lines = models_text(models("claude-sonnet-4-5", clock=November())).splitlines()

    assert lines[0].split() == ["model", "input", "output", "cache", "read", "context"]
    (line,) = [line for line in lines if line.startswith("anthropic/claude-sonnet-4-5 ")]
    assert line.split() == [
        "anthropic/claude-sonnet-4-5", "3.00+", "15.00+", "0.30+", "200,000", "ends", "2026-11-30"
    ]  # fmt: skip
    rows = lines[: lines.index("")]
    assert len({row.find("ends") for row in rows if "ends" in row}) == 1
    assert "+ long requests cost more." in lines


def test_a_model_past_its_end_says_so() -> None:
    assert "ended 2026-10-23" in models_text(models("openai/o4-mini", clock=November()))


def test_a_local_model_has_no_price() -> None:
    text = models_text(models("smollm2", clock=November()))

    assert text.splitlines()[1].split() == ["local/smollm2-135m", "none", "none", "–", "2,048"]


def test_models_of_other_providers_are_counted_until_asked_for() -> None:
    assert "more of other providers: batchai models NAME" in models_text(models(clock=November()))
    assert len(names("*")) > len(names()) + 500


def test_json_has_a_version_and_money_as_exact_text() -> None:
    found = models_json(models("gpt-5.4-mini", clock=November()))

    assert found["schema_version"] == 1
    (model,) = [entry for entry in found["models"] if entry["name"] == "openai/gpt-5.4-mini"]
    assert Decimal(model["cache_read_usd_per_mtok"]) == Decimal("0.075")
    assert model["input_usd_per_mtok"] == "0.75"
    assert model["cache_write_usd_per_mtok"] is None
    assert model["has_ended"] is False
    assert json.loads(json.dumps(found)) == found


def test_json_of_a_local_model_has_null_for_prices() -> None:
    (model,) = models_json(models("local/*", clock=November()))["models"]

    assert model["input_usd_per_mtok"] is None
    assert model["context_window"] == 2048


@pytest.mark.parametrize(
    ("pattern", "guess"),
    [
        ("anthropic/claude-haku-4-5", r"did you mean anthropic/claude-haiku-4-5\?"),
        ("hiaku", r"did you mean haiku\?"),
        ("zzzzzzzzzz", "models zzzzzzzzzz: no model of that name has a known price; A job"),
    ],
)
def test_an_unknown_model_is_guessed_and_told_how_to_use(pattern: str, guess: str) -> None:
    with pytest.raises(SpecError, match=guess) as caught:
        models(pattern, clock=November())
    assert "with model.price said in it" in str(caught.value)
