"""What was said to a run, while it was at work or between its launches."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from batchai.store.queries import Reader
from batchai.store.values import from_json, from_ms


class Action(StrEnum):
    """What was said."""

    PAUSED = "paused"
    RESUMED = "resumed"
    TUNED = "tuned"  # said: dotted fields and their values; none: the job's own hold again
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was said."""

    at: datetime
    action: Action
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Steering:
    """What holds now: whether the run is paused, and the tuned fields with their values."""

    paused_at: datetime | None = None
    tuned: Mapping[str, Any] = field(default_factory=dict)


def history(reader: Reader, run_id: int) -> list[Event]:
    """What was said to a run, oldest first."""
    rows = reader.query(
        "SELECT at, action, said FROM history WHERE run_id = :run ORDER BY id", {"run": run_id}
    )
    return [Event(from_ms(row.at), Action(row.action), from_json(row.said)) for row in rows]


def steering(events: Iterable[Event]) -> Steering:
    """What a history comes to: the last word on each thing."""
    paused_at: datetime | None = None
    tuned: dict[str, Any] = {}
    for event in events:
        match event.action:
            case Action.PAUSED:
                paused_at = event.at
            case Action.RESUMED:
                paused_at = None
            case Action.TUNED:
                tuned = {**tuned, **event.said} if event.said else {}
            case Action.STOPPED:
                pass
    return Steering(paused_at, tuned)


def steering_of(reader: Reader) -> Steering:
    """What holds for the run that is not over yet; nothing where there is none."""
    run = reader.last_run()
    if run is None or run.ended_at is not None:
        return Steering()
    return steering(history(reader, run.id))
