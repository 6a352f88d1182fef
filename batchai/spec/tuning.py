"""What of a job can be changed while a run goes on: its limits and its budget."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from batchai.errors import SpecError
from batchai.spec.fields import LIMITS as LIMIT_FIELDS
from batchai.spec.fields import RATES
from batchai.spec.models import Job

BUDGET = "budget_usd"
LIMITS = {name: LIMIT_FIELDS.fields[name].about for name in ("concurrency", *RATES)}
TUNABLE = (BUDGET, *(f"limits.{name}" for name in LIMITS))


def tunable_values(job: Job, fields: Iterable[str]) -> dict[str, Any]:
    """These fields of a job as they are written into a run's history. Raises SpecError."""
    values: dict[str, Any] = {}
    for field in sorted(fields):
        if field not in TUNABLE:
            raise SpecError(
                f"{field}: cannot be tuned; {', '.join(TUNABLE)} can, all else is for the job file"
            )
        value = job.budget_usd if field == BUDGET else getattr(job.limits, field.split(".")[1])
        values[field] = str(value) if isinstance(value, Decimal) else value
    return values


def tuned(job: Job, values: Mapping[str, Any]) -> Job:
    """The job with these fields changed. Raises SpecError where a value is none."""
    limits = {}
    changes: dict[str, Any] = {}
    for field, value in values.items():
        if field == BUDGET:
            changes[BUDGET] = _money(value)
        elif field in TUNABLE and _is_limit(field, value):
            limits[field.split(".")[1]] = value
        else:
            raise SpecError(f"{field}: cannot be tuned to {value!r}")
    changes["limits"] = job.limits.model_copy(update=limits)
    return job.model_copy(update=changes)


def _is_limit(field: str, value: Any) -> bool:
    if value == "auto":
        return field == "limits.concurrency"
    return type(value) is int and value > 0


def _money(value: Any) -> Decimal:
    try:
        amount = Decimal(value)
    except (InvalidOperation, TypeError, ValueError) as error:
        raise SpecError(f"{BUDGET}: {value!r} is no amount") from error
    if not amount.is_finite() or amount <= 0:
        raise SpecError(f"{BUDGET}: must be above 0")
    return amount
