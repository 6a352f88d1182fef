"""What a provider's refusal means, where the simulator does not say it in these words."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from batchai.domain import Outcome
from batchai.providers.failures import classify, read_error, retry_after_seconds

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def outcome(status: int, error: dict[str, Any]) -> Outcome:
    found = read_error(orjson.dumps({"error": error}))
    assert found is not None
    return classify(status, found)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (429, {"code": "insufficient_quota", "message": "m"}, Outcome.QUOTA_EXHAUSTED),
        (429, {"type": "insufficient_quota", "message": "m"}, Outcome.QUOTA_EXHAUSTED),
        (
            429,
            {
                "type": "rate_limit_error",
                "details": {"error_code": "contract_spend_limit_reached"},
                "message": "m",
            },
            Outcome.QUOTA_EXHAUSTED,
        ),
        (
            429,
            {"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}},
            Outcome.RATE_LIMITED,
        ),
        (429, {"message": "You exceeded your current quota per minute"}, Outcome.RATE_LIMITED),
        (
            429,
            {"message": "Request too large for gpt-4o on tokens per min: Limit 3, Requested 9"},
            Outcome.REJECTED,
        ),
        (
            400,
            {"message": "You have reached your specified API usage limits."},
            Outcome.QUOTA_EXHAUSTED,
        ),
        (400, {"message": "Your credit balance is too low"}, Outcome.QUOTA_EXHAUSTED),
        (400, {"code": "model_not_found", "message": "m"}, Outcome.UNKNOWN_MODEL),
        (400, {"code": "content_filter", "message": "m"}, Outcome.REFUSED),
        (400, {"code": 400, "message": "m"}, Outcome.REJECTED),
        (402, {"message": "Insufficient Balance"}, Outcome.QUOTA_EXHAUSTED),
        (405, {"message": "m"}, Outcome.UNKNOWN_MODEL),
        (418, {"message": "m"}, Outcome.REJECTED),
        (425, {"message": "m"}, Outcome.SERVER_ERROR),
        (500, {"type": "overloaded_error", "message": "m"}, Outcome.OVERLOADED),
        (520, {"message": "m"}, Outcome.SERVER_ERROR),
    ],
    ids=str,
)
def test_the_error_says_more_than_the_status(
    status: int, error: dict[str, Any], expected: Outcome
) -> None:
    assert outcome(status, error) is expected


def test_a_validation_error_is_read_without_the_request_that_it_repeats() -> None:
    detail = [{"loc": ["body", "messages"], "msg": "Field required", "input": {"secret": "x"}}]

    error = read_error(orjson.dumps({"detail": detail}))

    assert error is not None
    assert error.message == "body.messages: Field required"


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b'{"error": null}', b'{"a":1}']
)
def test_a_body_without_an_error_object_is_none(content: bytes) -> None:
    assert read_error(content) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": format_datetime(datetime(2026, 11, 22, 12, 1, tzinfo=UTC), True)}, 60.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_retry_after_is_read_in_all_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers, now=NOW.timestamp()) == seconds
