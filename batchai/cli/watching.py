"""`batchai status --watch`: redrawn in place on a terminal, a line each time elsewhere."""

import json
import shutil
import sys

from batchai.operations.status import status, status_all, watch
from batchai.reports.job_status import status_line, status_text
from batchai.reports.jobs_text import all_to_json, progress_text
from batchai.reports.json_text import json_line
from batchai.spec.models import Job

_REWIND = "\x1b[{}F\x1b[J"  # up so many lines, and clear from there on
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a long line is cut, so that lines can be counted


async def watch_job(job: Job, name: str, *, as_json: bool) -> None:
    """Show a job until nothing works on it. name: JOB as typed."""
    screen = _Screen()
    async for seen in watch(lambda: status(job), goes_on=lambda seen: seen.is_working):
        if as_json:
            print(json_line(seen), flush=True)
        elif screen.is_terminal:
            screen.draw(status_text(seen, name))
        else:
            print(status_line(seen), flush=True)


async def watch_all(*, as_json: bool) -> None:
    """Show all jobs until none is at work."""
    screen = _Screen()
    async for seen in watch(
        status_all, goes_on=lambda lines: any(line.is_working for line in lines)
    ):
        if as_json:
            print(json.dumps(json.loads(all_to_json(seen))), flush=True)
        elif screen.is_terminal:
            screen.draw(progress_text(seen))
        else:
            print(progress_text(seen), flush=True)


class _Screen:
    """The last lines of the terminal, which each text takes from the one before."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._drawn = 0

    def draw(self, text: str) -> None:
        """Replace what was drawn before; as many lines as the terminal has."""
        lines = text.splitlines()[: shutil.get_terminal_size().lines - 1]
        before = _REWIND.format(self._drawn) if self._drawn else ""
        sys.stdout.write(before + _NO_WRAP + "\n".join(lines) + _WRAP + "\n")
        sys.stdout.flush()
        self._drawn = len(lines)
