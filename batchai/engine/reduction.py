"""One prompt over many results: groups of items, and the tree of requests that reduces each.

A group is an item of its own in the store, selected as 2. The nodes of its tree are parts of the
step, numbered level by level; what a node is made of is read when its turn comes, so that no more
is in memory than the requests that are out need.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchai.domain import Message
from batchai.engine.flow import PartFailure, Piece
from batchai.errors import TemplateError
from batchai.prompts import Asking, Prompts, Rendered
from batchai.spec.models import Reduction
from batchai.store import Reader
from batchai.store.values import from_json, to_json

_SEPARATOR = "\x1f"  # between the step and the group, in the key of a group


@dataclass(slots=True)
class Group:
    """What one tree reduces: ids of items, and lengths of their results as JSON text."""

    value: Any
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, item_id: int, result: str) -> None:
        """One more result, in the input's order."""
        self.ids.append(item_id)
        self.sizes.append(len(result))
        self.digest.update(b"%d:%b" % (len(result), result.encode()))

    def fingerprint(self, prompts: Prompts, reduction: Reduction) -> bytes:
        """Of the whole: other results, another prompt or another shape of the tree change it."""
        shape = f"{reduction.fan_in} {reduction.max_chars} {prompts.mark.hex()}"
        text = f"{shape} {self.digest.hexdigest()}"
        return prompts.fingerprint(Rendered(None, (Message("user", text),)))


def groups_of(reader: Reader, reduction: Reduction, asking: Asking) -> dict[str, Group]:
    """The groups by their values as JSON text, in the order of their first items.

    Reads every succeeded result of the step once. Raises TemplateError.
    """
    value_of = asking.value_of_group
    groups: dict[str, Group] = {}
    for item_id, row, result in reader.succeeded(reduction.of, with_rows=value_of is not None):
        value = None
        if value_of is not None:
            if row is None:
                raise TemplateError("reduce.by: needs the rows, which the store does not keep")
            value = value_of(asking.prompts.variables(from_json(row), {}))
        name = to_json(value)
        groups.setdefault(name, Group(value)).add(item_id, result)
    return groups


def group_key(step: str, name: str) -> str:
    """The key that a group has in the store."""
    return f"{step}{_SEPARATOR}{name}"


class Tree:
    """Reduces a group, level by level, each node over neighbours. See `Way`."""

    def __init__(
        self,
        group: Group,
        *,
        item_id: int,
        step: str,
        reduction: Reduction,
        prompts: Prompts,
        reader: Reader,
        window: int,
    ) -> None:
        self._group = group
        self._where = (item_id, step)
        self._reduction = reduction
        self._prompts = prompts
        self._reader = reader
        self._window = window
        self._first = 1  # the number of the level's first node
        self._nodes = cuts(group.sizes, reduction)
        self._fetch: Callable[[int, int], list[str]] = self._of_items
        self._sizes = array("q", bytes(8 * len(self._nodes)))
        self._next = self._out = 0
        self._result: Any = None
        self._is_done = False
        self.failure: PartFailure | None = None

    def next(self) -> Sequence[Piece]:
        """Nodes whose children are done, as many as may be out at once."""
        if self._out == 0 and self._next == len(self._nodes) and not self.is_over:
            self._rise()
        pieces: list[Piece] = []
        while self.failure is None and self._next < len(self._nodes) and self._out < self._window:
            try:
                pieces.append(self._node(self._next))
            except TemplateError as error:
                self.failure = PartFailure("unrenderable", str(error))
                break
            self._next += 1
            self._out += 1
        return pieces

    def take(self, part: int, result: Any) -> None:
        """A node has its result."""
        self._out -= 1
        self._sizes[part - self._first] = len(to_json(result))
        if len(self._nodes) == 1:
            self._result, self._is_done = result, True

    def fail(self, part: int, outcome: str, detail: str) -> None:
        """A node failed: what is out is finished, and no more is begun."""
        self._out -= 1
        if self.failure is None:
            self.failure = PartFailure(outcome, f"{self.place(part)}: {detail}")

    def place(self, part: int) -> str:
        """A node, for a person."""
        return f"node {part}"

    @property
    def is_over(self) -> bool:
        """Whether the top is done, or nothing is out after a failure."""
        return self._out == 0 and (self._is_done or self.failure is not None)

    @property
    def result(self) -> Any:
        """The result of the top."""
        return self._result

    def _node(self, index: int) -> Piece:
        start, end = self._nodes[index]
        results = [from_json(text) for text in self._fetch(start, end)]
        variables = {**self._prompts.variables({}, {}), "results": results}
        rendered = self._prompts.fill({**variables, "group": self._group.value})
        return Piece(self._first + index, rendered, self._prompts.fingerprint(rendered))

    def _rise(self) -> None:
        """Begin the next level, over the results of this one."""
        below = self._first
        self._first += len(self._nodes)
        self._nodes = cuts(self._sizes, self._reduction)
        self._fetch = lambda start, end: self._reader.part_results(
            *self._where, first=below + start, last=below + end - 1
        )
        self._sizes = array("q", bytes(8 * len(self._nodes)))
        self._next = 0

    def _of_items(self, start: int, end: int) -> list[str]:
        return self._reader.results_by_id(self._reduction.of, self._group.ids[start:end])


def cuts(sizes: Iterable[int], reduction: Reduction) -> list[tuple[int, int]]:
    """Runs of neighbours, from and up to: as many as fit by number and by size, at least two, so
    that each level is smaller than the one below; at the end one may be alone."""
    found: list[tuple[int, int]] = []
    start = chars = count = 0
    for index, size in enumerate(sizes):
        too_long = chars + size > reduction.max_chars and count >= 2
        if count == reduction.fan_in or too_long:
            found.append((start, index))
            start, chars, count = index, 0, 0
        chars += size
        count += 1
    return [*found, (start, start + count)] if count else found
