"""What a run would do now, added up without doing it: counts by change, tokens, and the price."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchai.clock import Clock
from batchai.domain import NO_COST, State, Usage
from batchai.engine.caching import cached_usage, prefix_tokens
from batchai.engine.policy import Shape
from batchai.engine.scan import SENT, Change, Finding, Scan, ScanChunk, SeenItems, close_scan
from batchai.engine.step import PreparedStep
from batchai.limits.estimate import BYTES_PER_TOKEN
from batchai.prompts import Rendered
from batchai.providers import encoded_bytes, estimated_tokens, files_of
from batchai.schemas import output_token_bound
from batchai.store import Reader

_TEXT_OUTPUT_TOKENS = 200  # of an answer without a schema, before there is a history
_OF_ANOTHER_SPEC = frozenset({Change.CHANGED, Change.REVALIDATED})
_BOUND_SHARE = 3  # answers take about a third of what their schema allows


@dataclass(slots=True)
class Survey:
    """Sums over a selection. cost: expected; worst: if every answer took max_tokens. USD.

    at_stake: results that there are, and that were made under another spec than today's. size: of
    the requests, as `Surveyor.size` measures one. shared_tokens: of the input, what every request
    begins with. saved: by the provider's cache, USD, which `cost` is without. copies: items
    that take the result of an equal request.
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
    copies: int = 0


class Surveyor:
    """Adds up scans of one step; one request is encoded for what all have in common."""

    def __init__(self, step: PreparedStep, *, reader: Reader | None, clock: Clock) -> None:
        self._step = step
        self._clock = clock
        self._output = expected_output_tokens(
            step.settings.schema, max_tokens=step.max_tokens, reader=reader
        )
        self._overhead: int | None = None
        self._shared = prefix_tokens(step.prompts.shared_prefix(), step.calibration)

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
        chunks = scan.chunks()
        try:
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                self._add(survey, chunk, seen)
                for finding in chunk.findings:
                    if finding.change in SENT and finding.rendered is not None:
                        each(finding)
        finally:
            await asyncio.to_thread(close_scan, chunks)
        if reader is not None:
            survey.removed = len(await asyncio.to_thread(reader.selected_but, seen.bits))
        return survey

    def _add(self, survey: Survey, chunk: ScanChunk, seen: SeenItems) -> None:
        survey.bad_rows += len(chunk.bad_rows)
        for finding in chunk.findings:
            survey.changes[finding.change.value] += 1
            if finding.stored is not None:
                seen.add(finding.stored.item_id)
                has_result = finding.stored.state is State.SUCCEEDED
                survey.at_stake += has_result and finding.change in _OF_ANOTHER_SPEC
            if finding.change in SENT and finding.rendered is not None:
                self._add_request(survey, finding)

    def _add_request(self, survey: Survey, finding: Finding) -> None:
        assert finding.rendered is not None
        size = self._bytes(finding.rendered)
        files = [file for m in finding.rendered.messages for file in m.attachments]
        tokens = self._tokens(size) + estimated_tokens(files)
        cost, saved = self._cost(tokens, is_first=not survey.to_send)
        survey.to_send += 1
        survey.size += self.size(finding.rendered)
        survey.shared_tokens += min(self._shared + self._tokens(self._overhead or 0), tokens)
        survey.saved += saved
        survey.input_tokens += tokens
        survey.output_tokens += self._output
        survey.cost += cost
        change = finding.change.value
        survey.cost_by_change[change] = survey.cost_by_change.get(change, NO_COST) + cost
        survey.worst += self._step.worst_cost(size, self._step.max_tokens, self._clock, files)

    def size(self, rendered: Rendered) -> float:
        """How large a request is: about its input tokens, before calibration."""
        files = [file for message in rendered.messages for file in message.attachments]
        return self._bytes(rendered) / BYTES_PER_TOKEN + estimated_tokens(files)

    def _cost(self, tokens: int, *, is_first: bool) -> tuple[Decimal, Decimal]:
        """What a request of so many tokens costs, and what the provider's cache saves of it."""
        usage = Usage(uncached_input=tokens, output=self._output)
        mark = self._step.cache
        if mark is not None:
            usage = cached_usage(usage, mark, is_first=is_first)
        return self._step.cost(usage, self._clock), self._step.saved(usage, self._clock)

    def _bytes(self, rendered: Rendered) -> int:
        if self._overhead is None:
            self._overhead = self._measure(rendered)
        texts = (rendered.system or "", *(message.content for message in rendered.messages))
        return self._overhead + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)

    def _measure(self, rendered: Rendered) -> int:
        """Bytes that every request has beside its text."""
        request = self._step.request(rendered, Shape(self._step.max_tokens))
        size = len(self._step.provider.encode(request)) - encoded_bytes(files_of(request))
        return max(0, size - rendered.chars)

    def _tokens(self, size_bytes: int) -> int:
        return round(size_bytes / BYTES_PER_TOKEN * self._step.calibration.ratio)


def expected_output_tokens(
    schema: Mapping[str, Any] | None, *, max_tokens: int, reader: Reader | None
) -> int:
    """Output tokens of one request: as the history says, else a share of what is possible."""
    if reader is not None:
        attempts, _, _, output = reader.usage_ratio()
        if attempts:
            return min(max_tokens, max(1, round(output / attempts)))
    if schema is None:
        return min(_TEXT_OUTPUT_TOKENS, max_tokens)
    return min(max_tokens, max(1, output_token_bound(schema) // _BOUND_SHARE))
