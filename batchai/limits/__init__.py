"""The gate: rate limits, concurrency and budget behind one `Gate.acquire`."""

from batchai.limits.budget import Budget
from batchai.limits.estimate import BYTES_PER_TOKEN, Calibration, estimate_tokens
from batchai.limits.gate import Gate
from batchai.limits.load import MOST_BYTES_IN_FLIGHT, Load
from batchai.limits.permit import Ask, Past, Permit

__all__ = [
    "BYTES_PER_TOKEN",
    "MOST_BYTES_IN_FLIGHT",
    "Ask",
    "Budget",
    "Calibration",
    "Gate",
    "Load",
    "Past",
    "Permit",
    "estimate_tokens",
]
