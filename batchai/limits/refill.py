"""How a limit comes back: told from when the provider says that all of it will be free again."""

from enum import StrEnum

from batchai.domain import Standing

PERIOD_SECONDS = 60.0
_SLACK_SECONDS = 1.5  # some providers give whole seconds
_BUCKET_SLACK_SECONDS = 4.0  # and round what remains
_STANDS_STILL_SECONDS = 5.0


class Refill(StrEnum):
    """STEADY: a bucket. SLIDING: as it was used, a minute later. AT_ONCE: at a full minute."""

    STEADY = "steady"
    SLIDING = "sliding"
    AT_ONCE = "at once"


class RefillWatch:
    """Watches the resets of one limit per minute.

    A bucket's comes sooner the more remains; it is one until a reset disproves it. The time of a
    fixed window's stands still; a sliding window's moves on with every request.
    """

    __slots__ = ("_disproved", "_since", "_still", "resets_at")

    def __init__(self) -> None:
        self.resets_at: float | None = None
        self._since = 0.0
        self._still = False
        self._disproved = False

    @property
    def kind(self) -> Refill:
        """What it looks like by now."""
        if not self._disproved:
            return Refill.STEADY
        return Refill.AT_ONCE if self._still else Refill.SLIDING

    def watch(self, standing: Standing, at: float) -> None:
        """Take in what a reply said that was true `at`; never older than the last."""
        if standing.reset_seconds is None:
            self._disproved, self._still = True, False
            return
        missing = 1 - standing.remaining / standing.limit
        if abs(standing.reset_seconds - missing * PERIOD_SECONDS) > _BUCKET_SLACK_SECONDS:
            self._disproved = True
        resets_at, before = at + standing.reset_seconds, self.resets_at
        if before is not None and abs(resets_at - before) <= _SLACK_SECONDS:
            self._still |= at - self._since >= _STANDS_STILL_SECONDS
            return
        if before is not None and at < before - _SLACK_SECONDS:
            self._still = False
        self.resets_at, self._since = resets_at, at
