"""`where`, then `sample`, then `limit`: which records of the input are selected."""

import heapq
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from batchai.errors import TemplateError
from batchai.sources.records import BadRow, Entry
from batchai.spec.models import Input, Sample
from batchai.templates import compile_expression


@dataclass(frozen=True, slots=True)
class Selection:
    """A compiled selection; None selects all."""

    where: Callable[[Mapping[str, Any]], Any] | None
    variables: Mapping[str, Any]
    sample: Sample | None
    limit: int | None

    def of(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The selected entries, in order.

        where: bad rows pass, and a row for which it fails becomes one. sample: n of the rows that
        are left, bad ones included, each with the same chance; of the same seed, a larger sample
        holds every smaller one, and one of a grown input keeps most of it. limit: the first of
        those; bad rows do not count.
        """
        if self.where:
            entries = _matching(entries, self.where, self.variables)
        if self.sample:
            entries = _sampled(entries, self.sample)
        if self.limit is not None:
            entries = _first(entries, self.limit)
        return entries


def selection_of(spec: Input, variables: Mapping[str, Any]) -> Selection:
    """The selection that the job asks for; raises TemplateError where `where` does not compile."""
    where = compile_expression(spec.where, place="input.where") if spec.where else None
    return Selection(where, variables, spec.sample, spec.limit)


def _matching(
    entries: Iterator[Entry],
    where: Callable[[Mapping[str, Any]], Any],
    variables: Mapping[str, Any],
) -> Iterator[Entry]:
    for entry in entries:
        if isinstance(entry, BadRow):
            yield entry
            continue
        try:
            if where({"item": entry[1], "vars": variables}):
                yield entry
        except TemplateError as error:
            yield BadRow(entry[0], str(error))


def _sampled(entries: Iterator[Entry], sample: Sample) -> Iterator[Entry]:
    """The n of the smallest random numbers, in input order; memory grows with n only."""
    chance = random.Random(sample.seed).random  # the one method that stays equal over versions
    drawn = ((chance(), number, entry) for number, entry in enumerate(entries))
    kept = heapq.nsmallest(sample.n, drawn, key=itemgetter(0, 1))
    for _, _, entry in sorted(kept, key=itemgetter(1)):
        yield entry


def _first(entries: Iterator[Entry], limit: int) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        if not isinstance(entry, BadRow):
            limit -= 1
            if not limit:
                return
