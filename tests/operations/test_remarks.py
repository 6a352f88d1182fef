"""What `check` says beside mistakes."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchai.clock import Clock
from batchai.operations.remarks import repeated_share, warnings
from tests.kit import Workspace


class Late(Clock):
    """A clock that stands in November 2026."""

    def utcnow(self) -> datetime:
        return datetime(2026, 11, 1, tzinfo=UTC)


def found(folder: Path, model: str, top: str = "") -> list[str]:
    space = Workspace(folder, "http://127.0.0.1:9/v1", model=model, top=top).write(2)
    return list(warnings(space.job(), clock=Late()))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("openai/o4-mini", "was ended on 2026-10-23; choose another: batchai models openai"),
        ("openai/gpt-5-mini", "ends on 2026-12-11; choose another"),
        ("anthropic/claude-sonnet-4-5-20250929", "ends on 2026-11-30"),
    ],
)
def test_a_model_that_ends_within_sixty_days_is_told(
    tmp_path: Path, model: str, words: str
) -> None:
    (line,) = found(tmp_path, model)
    assert re.match(rf".*job\.yaml:2: model: {model} ", line)
    assert words in line


def test_so_is_one_that_only_answers_in_its_stead(tmp_path: Path) -> None:
    top = (
        "fallback: [openai/gpt-5.4-mini, openai/o4-mini]\nescalate: {if: 'true', model: openai/o3}"
    )
    fallback, larger = found(tmp_path, "openai/gpt-5.4-mini", top=top)
    assert re.search(r"job\.yaml:6: fallback\.models\[1\]: openai/o4-mini was ended on", fallback)
    assert re.search(r"job\.yaml:7: escalate\.model: openai/o3 ends on 2026-12-11", larger)


def test_a_model_that_lasts_is_no_matter(tmp_path: Path) -> None:
    assert found(tmp_path, "openai/gpt-5.4-nano") == []  # ends in April
    assert found(tmp_path, "openai/gpt-5.4-mini") == []


def test_a_cache_that_will_never_be_is_told_with_the_remedy(tmp_path: Path) -> None:
    (line,) = found(tmp_path, "anthropic/claude-haiku-4-5", top="cache: 1h")
    assert "about 3 tokens, and anthropic/claude-haiku-4-5 caches from 4,096 on; put what" in line
    assert found(tmp_path, "openai/gpt-5.4-mini", top="cache: auto") == []


def test_what_every_request_repeats_is_told_as_a_share_whatever_is_done(tmp_path: Path) -> None:
    space = Workspace(tmp_path, "http://127.0.0.1:9/v1").write(20)
    before = repeated_share(space.job())
    assert before is not None
    rules = "All of the rules. " * 500
    space.job_path.write_text(
        space.job_path.read_text().replace("prompt: {", f"prompt: {{system: '{rules}', ")
    )
    after = repeated_share(space.job())
    assert after is not None
    assert 0 < before < 0.95 < after < 1
