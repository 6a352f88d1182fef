"""What was proved of a store, as a value and as text."""

from collections.abc import Iterator
from dataclasses import dataclass

from batchai.reports.words import counted, one_line

_NAME_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    proof: what holds, in words. different: how many things do not; differences: the first of them;
    remedy: what helps, where it is always the same.
    """

    name: str
    proof: str
    different: int = 0
    differences: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """A job's store after a look at everything in it."""

    job: str
    checks: tuple[Check, ...]

    @property
    def different(self) -> int:
        """How many differences were found in all."""
        return sum(check.different for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0 where everything agrees, else 1."""
        return 1 if self.different else 0


def verification_text(made: Verification) -> str:
    """A line a check, with the differences below it, and the verdict."""
    width = max(_NAME_WIDTH, *(len(check.name) for check in made.checks))
    lines = [line for check in made.checks for line in _lines(check, width)]
    if made.different:
        verdict = f"NOT verified: {counted(made.different, 'difference')}"
    else:
        verdict = "Verified: everything agrees"
    return "\n".join([*lines, f"{verdict} · {made.job}"])


def _lines(check: Check, width: int) -> Iterator[str]:
    if not check.different:
        yield f"{check.name:{width}} ok · {check.proof}"
        return
    yield f"{check.name:{width}} {counted(check.different, 'difference')}"
    for words in check.differences:
        yield f"  {one_line(words, most=300)}"
    if more := check.different - len(check.differences):
        yield f"  and {more:,} more"
    if check.remedy:
        yield f"  {one_line(check.remedy, most=300)}"
