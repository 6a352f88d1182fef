"""What a report says to type next."""

from decimal import Decimal

import pytest

from batchai.reports.next_step import Standing, next_step


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing({"succeeded": 5}, {}, False, "finished", None), None),
        (Standing({"pending": 5}, {}, True, None, None), "batchai status 'my job'"),
        (Standing({"pending": 5}, {}, False, "interrupted", None), "batchai run 'my job'"),
        (
            Standing({"pending": 5}, {"invalid": 1}, False, "budget", None),
            "batchai run 'my job' --budget AMOUNT",
        ),
        (
            Standing({"failed": 8}, {"refused": 5, "invalid": 3}, False, None, Decimal("0.0004")),
            "batchai run 'my job' --retry invalid (about $0.0012)",
        ),
        (
            Standing({"failed": 3}, {"timed_out": 1, "unknown": 2}, False, None, None),
            "batchai run 'my job' --retry timed_out,unknown",
        ),
        (
            Standing({"failed": 2}, {"refused": 1, "unrenderable": 1}, False, None, None),
            "batchai show 'my job' --failed",
        ),
    ],
    ids=["done", "working", "interrupted", "budget", "invalid", "transient", "hopeless"],
)
def test_the_next_step_follows_from_where_the_job_stands(
    standing: Standing, words: str | None
) -> None:
    assert next_step(standing, "my job") == words
