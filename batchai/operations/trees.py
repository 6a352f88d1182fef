"""What a reduction will ask, before there is anything to reduce: groups of items, and their trees.

Only the sizes of results are guessed; how many groups there are, and of how many items, is counted.
"""

from collections import Counter
from collections.abc import Iterator

from batchai.engine.scan import SENT, Finding
from batchai.engine.step import PreparedStep
from batchai.errors import TemplateError
from batchai.spec.models import Reduction
from batchai.store import Reader
from batchai.store.values import to_json


class CountedGroups:
    """The groups of one reduction as a scan meets their items."""

    def __init__(self, step: PreparedStep, reader: Reader | None) -> None:
        assert step.reduction is not None
        self.reduction: Reduction = step.reduction
        self._asking = step.asking
        self._items: Counter[str] = Counter()
        self._is_new = reader is None or not reader.groups(step.name)
        self._touched: set[str] = set()

    def add(self, finding: Finding) -> None:
        """One more item, whether it is sent or done."""
        name = ""
        if (value_of := self._asking.value_of_group) is not None:
            try:
                variables = self._asking.prompts.variables(finding.item.fields, {})
                name = to_json(value_of(variables))
            except TemplateError:
                return  # the run says so
        self._items[name] += 1
        if finding.change in SENT:
            self._touched.add(name)

    def requests(self, *, result_bytes: int, node_bytes: int, factor: float = 1.0) -> Iterator[int]:
        """The bytes of results that each request would hold, of all the trees that would grow.

        result_bytes: of one result of an item; node_bytes: of what one request makes of many.
        factor: so many times as many items as were met.
        """
        for name, items in self._items.items():
            if self._is_new or name in self._touched:
                number = max(1, round(items * factor))
                yield from _tree(number, result_bytes, node_bytes, self.reduction)


def _tree(number: int, size: int, node_bytes: int, reduction: Reduction) -> Iterator[int]:
    """Level by level, each request over as many as fit (see `engine.reduction.cuts`)."""
    while True:
        fits = max(2, min(reduction.fan_in, reduction.max_chars // max(1, size)))
        whole, rest = divmod(number, fits)
        yield from (fits * size for _ in range(whole))
        if rest:
            yield rest * size
        number, size = whole + bool(rest), node_bytes
        if number <= 1:
            return
