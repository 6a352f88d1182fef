"""News of a run to whoever `notify:` of the project file names.

A run is never harmed by it: each is told in a task of its own with bounded time, and what goes
wrong is logged. News hold counts, costs and reasons: no prompt, no answer, no key.
"""

import asyncio
import hashlib
import logging
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from batchai.clock import Clock
from batchai.engine.runner import End, Reason
from batchai.errors import RefusedError, SpecError, StoreError
from batchai.limits import Budget
from batchai.operations.console import Console
from batchai.operations.messengers import deliver
from batchai.operations.trust import is_trusted, trust
from batchai.reports.json_text import json_line
from batchai.reports.next_step import Standing, next_step
from batchai.reports.notice import News, Notice, worded
from batchai.reports.words import printable
from batchai.spec.models import Job, Notify
from batchai.spec.project import notify_of
from batchai.store import Reader

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 12.0  # a little more than each may take
_MARKS = ((50, News.BUDGET_50), (90, News.BUDGET_90))  # percent of the budget
_BY_THE_USER = frozenset({Reason.INTERRUPTED, Reason.TERMINATED, Reason.STOPPED})


class Tell(Protocol):
    """`Notifier.tell`."""

    def __call__(self, news: News, *, reason: str | None = None) -> None:
        """Tell it in a while."""
        ...


@dataclass(frozen=True, slots=True)
class Declared:
    """Who would be told here, and what went wrong when they were."""

    text: str
    problems: tuple[str, ...] = ()


def notify_here(folder: Path, *, trusts: bool = False, tests: bool = False) -> Declared:
    """What the project file of a folder declares; `trusts` it and `tests` it first.

    Raises SpecError where it declares nothing, RefusedError for a test of what is not trusted.
    """
    notify = notify_of(folder)
    if notify is None:
        raise SpecError("batchai.yaml: declares no `notify:` here (command, webhook or apprise)")
    if trusts:
        trust(_digest(notify), str(notify.origin))
    is_held = not is_trusted(_digest(notify))
    if tests and is_held:
        raise RefusedError("notify: is not trusted yet: look at it, then: batchai notify --trust")
    lines = [f"{way}: {where}" for way, where in _ways(notify)]
    lines.append(f"on: {', '.join(notify.on)}")
    lines.append("not trusted yet; next: batchai notify --trust" if is_held else "trusted")
    problems = tuple(asyncio.run(_tested(notify))) if tests else ()
    if tests:
        lines += [f"test: {problem}" for problem in problems] or ["test: all were told"]
    return Declared("\n".join(printable(line) for line in lines), problems)


async def _tested(notify: Notify) -> list[str]:
    notice = worded(Notice(News.TEST, notify.origin.parent.name, Clock().utcnow()))
    return await deliver(notify, title="batchai", text=notice.text, body=json_line(notice))


def _ways(notify: Notify) -> Iterator[tuple[str, str]]:
    """As they are written, so that variables stay names."""
    if notify.command:
        yield "command", shlex.join(notify.command)
    if notify.webhook is not None:
        yield "webhook", notify.webhook
    for url in notify.apprise:
        yield "apprise", url


class Notifier:
    """Tells of one launch. Within the block; at its end it waits a little for what is under way."""

    def __init__(self, job: Job, reader: Reader, *, console: Console, clock: Clock) -> None:
        self._job = job
        self._reader = reader
        self._clock = clock
        self._notify = _trusted(job.notify, console)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Notifier":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()

    def tell(self, news: News, *, reason: str | None = None, exit_code: int | None = None) -> None:
        """Tell it in a while, to those who want to know."""
        if self._notify is None or news.value not in self._notify.on:
            return
        task = asyncio.create_task(self._tell(self._notify, news, reason, exit_code))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self, end: End, exit_code: int) -> None:
        """Tell how a launch ended, unless the user ended it."""
        if end.reason is Reason.FINISHED:
            self.tell(News.ENDED, exit_code=exit_code)
        elif end.reason not in _BY_THE_USER:
            self.tell(News.STOPPED, reason=end.reason.value, exit_code=exit_code)

    async def _tell(
        self, notify: Notify, news: News, reason: str | None, exit_code: int | None
    ) -> None:
        try:
            notice = await asyncio.to_thread(self._notice, news, reason, exit_code)
        except StoreError as error:
            log.warning("notify: %s", error)
            return
        title = f"batchai: {notice.job}"
        for problem in await deliver(notify, title=title, text=notice.text, body=json_line(notice)):
            log.warning("notify: %s", problem)

    def _notice(self, news: News, reason: str | None, exit_code: int | None) -> Notice:
        names, run = self._job.step_names, self._reader.last_run()
        assert run is not None
        counts = self._reader.item_counts(*names)
        items = {state.value: number for state, number in counts.items()}
        failures = self._reader.failure_counts(*names)
        standing = Standing(
            items=items,
            failures=failures,
            is_working=exit_code is None,
            reason=reason,
            cost_per_item=None,
        )
        notice = Notice(
            event=news,
            job=self._job.name,
            at=self._clock.utcnow(),
            run=run.id,
            reason=reason,
            exit_code=exit_code,
            items=items,
            failures=failures,
            cost_usd=run.cost,
            unconfirmed_usd=run.unconfirmed,
            budget_usd=run.budget,
            next=next_step(standing, self._job.name) or f"batchai report {self._job.name}",
        )
        return worded(notice)


def _digest(notify: Notify) -> str:
    return hashlib.sha256(notify.model_dump_json().encode()).hexdigest()


def _trusted(notify: Notify | None, console: Console) -> Notify | None:
    if notify is None or is_trusted(_digest(notify)):
        return notify
    console.say(
        f"{notify.origin.name}: `notify:` is new or was changed, and nobody is told before you "
        "have looked at it: batchai notify --trust"
    )
    return None


class Marks:
    """Says once when a half and nine tenths of a budget are used up, again under a larger one."""

    def __init__(self, budget: Budget, tell: Tell) -> None:
        self._budget = budget
        self._tell = tell
        self._passed = self._count()
        budget.watch(self._look)

    def _look(self) -> None:
        passed = self._count()
        if passed > self._passed:
            self._tell(_MARKS[passed - 1][1])
        self._passed = passed

    def _count(self) -> int:
        limit = self._budget.limit
        if limit is None:
            return 0
        used = 100 * (self._budget.spent + self._budget.unconfirmed)
        return sum(used >= mark * limit for mark, _ in _MARKS)
