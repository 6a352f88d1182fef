"""The groups of a reduction: what there is to reduce, and which of it is new or has changed."""

import asyncio
from functools import partial
from typing import Any

from batchai.domain import State
from batchai.engine.lanes import ToReduce
from batchai.engine.reduction import Group, Tree, group_key, groups_of
from batchai.engine.step import PreparedStep
from batchai.prompts import is_same_request
from batchai.store import Reader, Store
from batchai.store.values import to_json

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


def _groups(reader: Reader, step: PreparedStep) -> dict[str, Group]:
    assert step.reduction is not None
    found = groups_of(reader, step.reduction, step.prompts)
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
