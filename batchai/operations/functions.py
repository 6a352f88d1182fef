"""`batchai trust`: the Python functions of a job's checks may run, until their files change."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batchai.errors import RefusedError, SpecError
from batchai.operations.console import Console
from batchai.operations.trust import trust, trusted
from batchai.schemas import Checks
from batchai.spec.loading import shown_path
from batchai.spec.models import Function, Job, Step


@dataclass(frozen=True, slots=True)
class Trusted:
    """Files whose functions may run now; those that could before are not among them."""

    files: tuple[Path, ...]

    @property
    def text(self) -> str:
        """What was remembered."""
        if not self.files:
            return "Nothing to trust: the job has no Python functions that are not trusted yet"
        names = ", ".join(shown_path(path) for path in self.files)
        return f"Trusted {names}, until it changes"


def trust_functions(job: Job, *, yes: bool = False, console: Console) -> Trusted:
    """Ask whether the job's Python functions may run, and remember it.

    Raises RefusedError without a yes, and where it cannot be remembered.
    """
    known = trusted()
    new = {f.digest: f for step in job.steps for f in _functions(step) if f.digest not in known}
    if not new:
        return Trusted(())
    if not yes:
        _ask(job, list(new.values()), console)
    for digest, function in new.items():
        trust(digest, str(function.path))
    return Trusted(tuple(f.path for f in new.values()))


def checks_of(job: Job, step: Step) -> Checks:
    """A step's checks, ready. Raises SpecError where a file is not trusted, or does not load."""
    functions = list(_functions(step))
    known = trusted() if functions else {}
    for function in functions:
        if function.digest not in known:
            raise SpecError(_untrusted(job, function, known))
    return Checks(step.checks)


def _functions(step: Step) -> Iterator[Function]:
    return (check for check in step.checks if isinstance(check, Function))


def _untrusted(job: Job, function: Function, known: dict[str, str]) -> str:
    since = (
        "has changed since you trusted it"
        if str(function.path) in known.values()
        else "is not trusted"
    )
    return (
        f"{job.path.name}: checks: {function.name}: {shown_path(function.path)} {since}: read it, "
        f"then let it run with: batchai trust {shown_path(job.path)}"
    )


def _ask(job: Job, functions: list[Function], console: Console) -> None:
    lines = []
    for function in functions:
        same = [c.function for s in job.steps for c in _functions(s) if c.digest == function.digest]
        names = ", ".join(dict.fromkeys(same))
        lines += [f"{shown_path(function.path)}: {names}", f"  sha256 {function.digest}"]
    lines.append("These run on your machine, with your rights. Trust them until they change?")
    answer = console.ask("\n".join(lines))
    if answer is None:
        raise RefusedError(f"{job.name}: nothing is trusted without a word from you: --yes")
    if not answer:
        raise RefusedError(f"{job.name}: nothing was trusted")
