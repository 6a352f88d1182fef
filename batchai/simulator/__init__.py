"""A local server that stands in for the providers, and judges what reaches it.

It shares neither limiter nor prices nor estimates with the engine.
"""

from batchai.simulator.faults import Fault, FaultPlan, first_attempts, scripted, seeded
from batchai.simulator.record import Rates, Received, Served
from batchai.simulator.requests import SimRequest
from batchai.simulator.server import Simulator
from batchai.simulator.settings import AccountLimits, Capacity, Latency, Neighbours, Settings

__all__ = [
    "AccountLimits",
    "Capacity",
    "Fault",
    "FaultPlan",
    "Latency",
    "Neighbours",
    "Rates",
    "Received",
    "Served",
    "Settings",
    "SimRequest",
    "Simulator",
    "first_attempts",
    "scripted",
    "seeded",
]
