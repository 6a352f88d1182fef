"""A run over time: what was sent in each second or minute. Read-only."""

from dataclasses import dataclass

from batchai.store.aggregates import ranges
from batchai.store.queries import Reader

# input as the providers' limits count it: what is read from a cache is free there
_TICKS = """
SELECT sent_at / :width * :width, count(*), sum(outcome = 'succeeded'),
    sum(outcome IN ('rate_limited', 'overloaded')), sum(cost_pico),
    sum(uncached_input + cache_write_5m + cache_write_1h), sum(output)
FROM attempts WHERE id > :after AND id <= :upto AND run_id = :run AND outcome IS NOT NULL
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Tick:
    """Closed attempts of one run that were sent within a width of time from `at`, ms since 1970.

    limited: turned away for a limit, or since the provider was overloaded. input_tokens: as limits
    count them.
    """

    at: int
    attempts: int
    succeeded: int
    limited: int
    cost_pico: int
    input_tokens: int
    output_tokens: int


def run_ticks(reader: Reader, run_id: int, *, width_ms: int) -> list[Tick]:
    """What the run sent, in the order of time; ticks in which it sent nothing are left out."""
    sums: dict[int, list[int]] = {}
    for values in ranges(reader, "attempts"):
        for at, *more in reader.query(_TICKS, {**values, "run": run_id, "width": width_ms}):
            found = sums.setdefault(at, [0] * len(more))
            sums[at] = [total + part for total, part in zip(found, more, strict=True)]
    return [Tick(at, *sums[at]) for at in sorted(sums)]
