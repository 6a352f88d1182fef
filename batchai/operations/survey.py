"""What a run would do now, added up without doing it: counts by change, tokens, and the price."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchai.clock import Clock
from batchai.domain import NO_COST, Attachment, Item, Message, State, Usage
from batchai.engine.caching import cached_usage, prefix_tokens
from batchai.engine.policy import Shape
from batchai.engine.scan import SENT, Change, Finding, Reading, Scan, ScanChunk, SeenItems
from batchai.engine.step import PreparedStep
from batchai.errors import TemplateError
from batchai.limits.estimate import BYTES_PER_TOKEN
from batchai.operations.trees import CountedGroups
from batchai.prompts import Asked, Kind, Rendered
from batchai.providers import encoded_bytes, estimated_tokens, files_of
from batchai.schemas import typical_output_tokens
from batchai.sources import BadRow, Record
from batchai.store import Reader
from batchai.store.values import to_json

_OF_ANOTHER_SPEC = frozenset({Change.CHANGED, Change.REVALIDATED})


@dataclass(slots=True)
class Survey:
    """Sums over a selection. cost: expected; worst: if every answer took max_tokens. USD.

    requests: by step; those of later steps are one an item, since only its results can tell, and
    those of reductions are of as many groups as the input has, of results as long as is typical.
    reduced: the part of all sums that is of reductions, None where there is none.
    at_stake: results that there are, and that were made under another spec than today's. size: of
    the requests, as `Surveyor.size` measures one. shared_tokens: of the input, what every request
    begins with. saved: by the provider's cache, USD, which `cost` is without.
    """

    changes: Counter[str] = field(default_factory=Counter)
    bad_rows: int = 0
    removed: int = 0
    at_stake: int = 0
    to_send: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = NO_COST
    worst: Decimal = NO_COST
    cost_by_change: dict[str, Decimal] = field(default_factory=dict)
    size: float = 0.0
    shared_tokens: int = 0
    saved: Decimal = NO_COST
    requests: Counter[str] = field(default_factory=Counter)
    cost_by_step: dict[str, Decimal] = field(default_factory=dict)
    reduced: "Survey | None" = None

    def include(self, other: "Survey") -> None:
        """Add the sums of reductions."""
        self.reduced = other
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost
        self.worst += other.worst
        self.shared_tokens += other.shared_tokens
        self.saved += other.saved
        self.requests += other.requests
        self.cost_by_step |= other.cost_by_step

    def times(self, factor: float) -> "Survey":
        """The sums over so many times as many items of the same sort."""
        exact = Decimal(factor)
        return Survey(
            to_send=round(self.to_send * factor),
            input_tokens=round(self.input_tokens * factor),
            output_tokens=round(self.output_tokens * factor),
            cost=self.cost * exact,
            worst=self.worst * exact,
            size=self.size * factor,
            requests=Counter({name: round(n * factor) for name, n in self.requests.items()}),
        )


class Surveyor:
    """Adds up scans over the steps that items go through, and what reduces their results."""

    def __init__(
        self, steps: Sequence[PreparedStep], *, reader: Reader | None, clock: Clock
    ) -> None:
        prices = {step.name: _Pricing(step, reader=reader, clock=clock) for step in steps}
        self._steps = {s.name: prices[s.name] for s in steps if s.reduction is None}
        self._reductions = [
            (prices[step.name], CountedGroups(step, reader))
            for step in steps
            if step.reduction is not None and step.reduction.of in self._steps
        ]

    def size(self, rendered: Rendered) -> float:
        """How large a request of the first step is: its input tokens, before calibration."""
        files = [file for message in rendered.messages for file in message.attachments]
        first = next(iter(self._steps.values()))
        return first.bytes(rendered) / BYTES_PER_TOKEN + estimated_tokens(files)

    async def survey(
        self,
        scan: Scan,
        reader: Reader | None,
        *,
        each: Callable[[Finding], None] = lambda _: None,
    ) -> Survey:
        """The sums over a comparing scan; writes nothing. Raises SourceError.

        each: is told of every item that would be sent.
        """
        survey, seen = Survey(), SeenItems()
        reading = Reading(scan)
        try:
            while (chunk := await reading.next()) is not None:
                self._add(survey, chunk, seen)
                for finding in chunk.findings:
                    if finding.change in SENT and finding.asked is not None:
                        each(finding)
        finally:
            await asyncio.to_thread(reading.close)
        if reader is not None:
            survey.removed = len(await asyncio.to_thread(reader.selected_but, seen.bits))
        self._reduce(survey)
        return survey

    def of_some(self, records: Iterable[Record | BadRow]) -> Survey:
        """The sums over records as if all of them were new."""
        survey = Survey()
        first = next(iter(self._steps.values()))
        for number, record in enumerate(records):
            if isinstance(record, BadRow):
                continue
            try:
                asked = first.asked(record.fields)
            except TemplateError:
                continue
            item = Item(str(number), number, record.fields, record.place)
            finding = Finding(item, to_json(record.fields), Change.NEW, None, asked=asked)
            for _, groups in self._reductions:
                groups.add(finding)
            survey.to_send += 1
            self._add_item(survey, finding, asked)
        return survey

    def extended(self, survey: Survey, count: int) -> Survey:
        """What `of_some` found, as of so many items, and what reduces their results."""
        factor = count / survey.to_send if survey.to_send else 0.0
        found = survey.times(factor)
        self._reduce(found, factor)
        return found

    def _reduce(self, survey: Survey, factor: float = 1.0) -> None:
        """Add the requests of reductions. factor: items beside those that were met."""
        sums = Survey()
        for price, groups in self._reductions:
            of = self._steps[groups.reduction.of]
            items = max(1, survey.to_send)
            requests = max(1.0, survey.requests[groups.reduction.of] / items)  # of an item
            result_bytes = round(requests * of.output * BYTES_PER_TOKEN)
            node_bytes = round(price.output * BYTES_PER_TOKEN)
            for carried in groups.requests(
                result_bytes=result_bytes, node_bytes=node_bytes, factor=factor
            ):
                price.add_later(sums, carried, "")
        if sums.requests:
            survey.include(sums)

    def _add(self, survey: Survey, chunk: ScanChunk, seen: SeenItems) -> None:
        survey.bad_rows += len(chunk.bad_rows)
        for finding in chunk.findings:
            survey.changes[finding.change.value] += 1
            for _, groups in self._reductions:
                groups.add(finding)
            if finding.stored is not None:
                seen.add(finding.stored.item_id)
                if finding.change in _OF_ANOTHER_SPEC:
                    survey.at_stake += _has_result(finding)
            if finding.change in SENT and finding.asked is not None:
                survey.to_send += 1
                self._add_item(survey, finding, finding.asked)

    def _add_item(self, survey: Survey, finding: Finding, asked: Asked) -> None:
        """The step that the item begins at, and the steps after it as far as they can be told."""
        names = list(self._steps)
        begins = names.index(finding.begins or names[0])
        if asked.requests:
            survey.size += self.size(asked.requests[0])
        change = finding.change.value
        self._steps[names[begins]].add(survey, asked, change)
        carried = len(finding.row.encode("utf-8", "surrogatepass"))  # what later prompts may say
        for before, name in zip(names[begins:], names[begins + 1 :], strict=False):
            carried += self._steps[before].output * BYTES_PER_TOKEN
            self._steps[name].add_later(survey, round(carried), change)


class _Pricing:
    """What a step's requests cost; one is encoded for what all have in common."""

    def __init__(self, step: PreparedStep, *, reader: Reader | None, clock: Clock) -> None:
        self._step = step
        self._clock = clock
        self.output = expected_output_tokens(
            step.name, step.settings.schema, max_tokens=step.max_tokens, reader=reader
        )
        self._overhead: int | None = None
        self._shared = prefix_tokens(step.prompts.shared_prefix(), step.calibration)

    def asked(self, fields: Mapping[str, Any]) -> Asked:
        """What the step asks of an item, where it is the first one. Raises TemplateError."""
        return self._step.asking.of(fields, {})

    def add(self, survey: Survey, asked: Asked, change: str) -> None:
        """The requests of one item."""
        said = 0
        for rendered in asked.requests:
            size = self.bytes(rendered)
            files = [file for message in rendered.messages for file in message.attachments]
            self._add(survey, size + said, change, files)
            if self._step.asking.kind is Kind.TURNS:  # what was said before is sent again
                said += size + round(self.output * BYTES_PER_TOKEN)

    def add_later(self, survey: Survey, carried: int, change: str) -> None:
        """A request that cannot be rendered yet; its prompt may hold so many bytes of data."""
        empty = self.bytes(Rendered(None, (Message("user", ""),)))
        self._add(survey, empty + self._step.asking.written + carried, change)

    def bytes(self, rendered: Rendered) -> int:
        """The size of a request without its files."""
        if self._overhead is None:
            self._overhead = self._measure(rendered)
        texts = (rendered.system or "", *(message.content for message in rendered.messages))
        return self._overhead + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)

    def _add(
        self, survey: Survey, size: int, change: str, files: Sequence[Attachment] = ()
    ) -> None:
        name = self._step.name
        tokens = self._tokens(size) + estimated_tokens(files)
        cost, saved = self._cost(tokens, is_first=not survey.requests[name])
        survey.requests[name] += 1
        survey.shared_tokens += min(self._shared + self._tokens(self._overhead or 0), tokens)
        survey.saved += saved
        survey.input_tokens += tokens
        survey.output_tokens += self.output
        survey.cost += cost
        survey.cost_by_change[change] = survey.cost_by_change.get(change, NO_COST) + cost
        survey.cost_by_step[name] = survey.cost_by_step.get(name, NO_COST) + cost
        for step in (self._step, *self._step.further):
            survey.worst += step.worst_cost(size, step.max_tokens, self._clock, files)

    def _cost(self, tokens: int, *, is_first: bool) -> tuple[Decimal, Decimal]:
        """What a request of so many tokens costs, and what the provider's cache saves of it."""
        usage = Usage(uncached_input=tokens, output=self.output)
        mark = self._step.cache
        if mark is not None:
            usage = cached_usage(usage, mark, is_first=is_first)
        asked = self._step.rates.delivery
        return (
            self._step.cost(usage, self._clock, asked),
            self._step.saved(usage, self._clock, asked),
        )

    def _measure(self, rendered: Rendered) -> int:
        """Bytes that every request has beside its text."""
        request = self._step.request(rendered, Shape(self._step.max_tokens))
        size = len(self._step.provider.encode(request)) - encoded_bytes(files_of(request))
        return max(0, size - rendered.chars)

    def _tokens(self, size_bytes: int) -> int:
        return round(size_bytes / BYTES_PER_TOKEN * self._step.calibration.ratio)


def _has_result(finding: Finding) -> bool:
    """Whether a result that there is was made under another spec."""
    assert finding.stored is not None
    steps = finding.stored.steps
    touched = [finding.begins, *(name for name, _ in finding.adopted)]
    return any(name in steps and steps[name].state is State.SUCCEEDED for name in touched if name)


def expected_output_tokens(
    step: str,
    schema: Mapping[str, Any] | None,
    *,
    max_tokens: int,
    reader: Reader | None,
) -> int:
    """Output tokens of one request of a step: as its history says, else what is typical."""
    if reader is not None:
        attempts, _, _, output = reader.usage_ratio(step)
        if attempts:
            return min(max_tokens, max(1, round(output / attempts)))
    return min(max_tokens, typical_output_tokens(schema))
