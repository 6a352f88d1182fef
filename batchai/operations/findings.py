"""What `batchai doctor` found, as values, and how they read."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from batchai.spec.document import printable

_MAX_CHARS = 1000  # of one line


class Level(StrEnum):
    """How much a finding matters; only a problem makes the exit code 1."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `text` holds problem and remedy, and never a key."""

    level: Level
    subject: str
    text: str


def findings_text(findings: Sequence[Finding]) -> str:
    """One line a finding, and a last one that counts what needs attention."""
    level_width = max(len(level) for level in Level)
    subject_width = max((len(finding.subject) for finding in findings), default=0)
    lines = [
        f"{finding.level:<{level_width}}  {finding.subject:<{subject_width}}  {finding.text}"
        for finding in findings
    ]
    shown = (printable(line, limit=_MAX_CHARS) for line in lines)
    return "\n".join([*shown, _verdict(findings)])


def findings_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """The findings as plain values for `--json`."""
    return {"schema_version": 1, "findings": [asdict(finding) for finding in findings]}


def findings_exit_code(findings: Iterable[Finding]) -> int:
    """0 unless there is a problem."""
    return int(any(finding.level is Level.PROBLEM for finding in findings))


def _verdict(findings: Sequence[Finding]) -> str:
    counts = [
        f"{number} {level}{'s' if number > 1 else ''}"
        for level in (Level.PROBLEM, Level.WARNING)
        if (number := sum(finding.level is level for finding in findings))
    ]
    return ", ".join(counts) if counts else "Nothing needs attention."
