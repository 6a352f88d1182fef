"""What further attempts cost, by the policy that they were made for, and what came of them."""

from dataclasses import dataclass

from batchai.store.queries import Reader

# an item's attempts are numbered on for ever: the last one is numbered as there are attempts
_SPENT = """
SELECT a.step, a.purpose, count(*), sum(a.cost_pico), sum(a.unconfirmed_pico),
    count(DISTINCT CASE WHEN a.outcome = 'succeeded' AND EXISTS (SELECT 1 FROM item_steps AS s
        WHERE s.item_id = a.item_id AND s.step = a.step AND s.part = a.part
        AND s.state = 'succeeded' AND s.attempts = a.number) AND EXISTS (SELECT 1
        FROM item_steps AS w WHERE w.item_id = a.item_id AND w.step = a.step AND w.part = 0
        AND w.state = 'succeeded') THEN a.item_id END)
FROM attempts AS a WHERE a.purpose IS NOT NULL AND a.outcome IS NOT NULL
GROUP BY 1, 2 ORDER BY min(a.id)
"""


@dataclass(frozen=True, slots=True)
class Rescue:
    """Closed attempts that a policy made in a step.

    rescued: items that succeeded with the answer of one of them.
    """

    step: str
    policy: str
    attempts: int
    cost_pico: int
    unconfirmed_pico: int
    rescued: int


def rescues(reader: Reader) -> list[Rescue]:
    """A row for each step and policy, in the order of their first attempts."""
    return [Rescue(*row) for row in reader.query(_SPENT)]
