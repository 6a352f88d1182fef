"""The groups of a reduction: what there is to reduce, and which of it is new or has changed."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from batchai.domain import State
from batchai.engine.lanes import ToReduce
from batchai.engine.reduction import Group, Tree, group_key, groups_of
from batchai.engine.step import PreparedStep
from batchai.prompts import is_same_request
from batchai.reports.job_status import FailureLine, ReducedLine
from batchai.spec.models import Job
from batchai.store import Reader, Store
from batchai.store.records import Wanted, item_records
from batchai.store.values import to_json

_SHOWN_GROUPS = 3  # that failed
_Operation = tuple[str, tuple[Any, ...]]


async def take_in_groups(store: Store, step: PreparedStep, *, window: int) -> dict[int, ToReduce]:
    """Write down the groups of today; those whose results, prompt or tree changed are pending.

    window: nodes of a tree that may be out at once. Returns the groups by item.
    """
    assert step.reduction is not None
    found = await asyncio.to_thread(_groups, store.reader, step)
    known = store.reader.groups(step.name)
    operations: list[_Operation] = []
    groups: dict[int, ToReduce] = {}
    for position, (key, group) in enumerate(found.items()):
        item_id, state, before = known.pop(key, (None, State.PENDING, None))
        is_new = item_id is None
        if item_id is None:
            item_id = store.ledger.new_item_id()
        row = to_json({"group": group.value, "items": len(group.ids)})
        operations.append(("place_group", (item_id, key, position, row)))
        fingerprint = group.fingerprint(step.prompts, step.reduction)
        if is_new:
            operations.append(("add_step", (item_id, step.name)))
        elif state is not State.PENDING and not is_same_request(before, fingerprint):
            operations.append(("reset_step", (item_id, step.name)))
        groups[item_id] = ToReduce(
            fingerprint, partial(_tree, store.reader, step, group, item_id, window)
        )
    operations += [("deselect_item", (item_id,)) for item_id, _, _ in known.values()]
    if operations:
        await store.ledger.absorb(operations)
    return groups


def has_stale_groups(reader: Reader, steps: tuple[PreparedStep, ...]) -> bool:
    """Whether a reduction has anything to do: reads all the results that it is over."""
    for step in steps:
        if step.reduction is None:
            continue
        known = reader.groups(step.name)
        for key, group in _groups(reader, step).items():
            _, state, before = known.pop(key, (0, State.PENDING, None))
            fingerprint = group.fingerprint(step.prompts, step.reduction)
            if state is State.PENDING or not is_same_request(before, fingerprint):
                return True
    return False


def group_name(row: Mapping[str, Any] | None) -> str:
    """What a person calls a group, by its stored row: the value that its items share."""
    value = row.get("group") if row else None
    if value is None:
        return "all"
    return value if isinstance(value, str) else to_json(value)


def reduced(job: Job, reader: Reader) -> tuple[ReducedLine, ...]:
    """Where the groups of each reduction stand, and what failed."""
    return tuple(
        ReducedLine(step.name, groups, failed=_failed(reader, step.name))
        for step in job.reductions
        if (groups := {s.value: n for s, n in reader.state_counts(step.name).items()})
    )


def _failed(reader: Reader, step: str) -> tuple[FailureLine, ...]:
    _, found = item_records(reader, (step,), Wanted("failed"), limit=_SHOWN_GROUPS, are_groups=True)
    return tuple(
        FailureLine(group_name(one.fields), one.outcome or "", one.error, one.settled_at)
        for (one,) in found
    )


def _groups(reader: Reader, step: PreparedStep) -> dict[str, Group]:
    assert step.reduction is not None
    found = groups_of(reader, step.reduction, step.asking)
    return {group_key(step.name, name): group for name, group in found.items()}


def _tree(reader: Reader, step: PreparedStep, group: Group, item_id: int, window: int) -> Tree:
    assert step.reduction is not None
    return Tree(
        group,
        item_id=item_id,
        step=step.name,
        reduction=step.reduction,
        prompts=step.prompts,
        reader=reader,
        window=window,
    )
