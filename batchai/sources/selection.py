"""`where`, then `sample`, then `limit`: which records of the input are selected."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
        are left, bad ones included, each with the same chance; the same seed over a grown input
        keeps most of them. limit: the first of those; bad rows do not count.
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
    """Algorithm R (Vitter 1985), restored to input order; memory grows with n only."""
    chance = random.Random(sample.seed).random  # the one method that stays equal over versions
    kept: list[tuple[int, Entry]] = []
    for number, entry in enumerate(entries):
        if number < sample.n:
            kept.append((number, entry))
        elif (slot := int(chance() * (number + 1))) < sample.n:
            kept[slot] = (number, entry)
    kept.sort(key=lambda pair: pair[0])
    for _, entry in kept:
        yield entry


def _first(entries: Iterator[Entry], limit: int) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        if not isinstance(entry, BadRow):
            limit -= 1
            if not limit:
                return
