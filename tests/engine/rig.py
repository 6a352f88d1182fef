"""A launch on virtual time over a provider of the test's own: no server, no waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from batchai.domain import Outcome, Reply, Request, ResultRow, Usage
from batchai.engine.progress import Progress
from batchai.engine.runner import End
from batchai.operations.changes import approach_to, begin_scan
from batchai.operations.console import Silence, StopButton
from batchai.operations.launch import Launch, begin_or_continue
from batchai.operations.opening import Opened, prepare_step
from batchai.operations.run import holds_unknown
from batchai.pricing import price_for
from batchai.providers import Deadlines
from batchai.sources import open_items
from batchai.spec import load_job
from batchai.spec.models import Job
from batchai.store import Reader, Store
from batchai.store.rows import Run
from tests.virtual import VirtualClock

Items = Iterator[Mapping[str, Any]] | list[dict[str, Any]]
Answer = Callable[[str, int], Reply]

GOOD = Reply(
    Outcome.SUCCEEDED, text='{"mood": "good"}', usage=Usage(20, output=5), model="m-1", status=200
)
SERVER_ERROR = Reply(Outcome.SERVER_ERROR, status=500, detail="HTTP 500")


@dataclass
class Script:
    """A provider that answers as `answer` says: prompt and how often it came before → reply."""

    clock: VirtualClock
    answer: Answer = lambda _prompt, _before: GOOD
    latency_seconds: float = 1.0
    sent: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    padding: int = 0  # bytes that a body is longer
    open_bytes: int = 0
    most_open_bytes: int = 0
    reconnected: int = 0
    is_busy: asyncio.Event = field(default_factory=asyncio.Event)  # four requests are open
    seen: Counter[str] = field(default_factory=Counter)

    def encode(self, request: Request) -> bytes:
        texts = orjson.dumps([message.content for message in request.messages])
        return texts + b" " * self.padding

    async def send(self, body: bytes, *, deadline_seconds: float) -> Reply:
        assert deadline_seconds > 0
        prompt: str = orjson.loads(body)[0]
        self.sent.append(prompt)
        self.times.append(self.clock.monotonic())
        before = self.seen[prompt]
        self.seen[prompt] += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.open_bytes += len(body)
        self.most_open_bytes = max(self.most_open_bytes, self.open_bytes)
        if self.open >= 4:
            self.is_busy.set()
        try:
            await self.clock.sleep(self.latency_seconds)
            return self.answer(prompt, before)
        finally:
            self.open -= 1
            self.open_bytes -= len(body)

    async def stream(
        self, body: bytes, *, deadlines: Deadlines, on_text: Callable[[str], None]
    ) -> Reply:
        assert deadlines.idle_seconds > 0
        reply = await self.send(body, deadline_seconds=deadlines.total_seconds)
        on_text(reply.text)
        return reply

    def counted_input_tokens(self, usage: Usage) -> int:
        return usage.input

    def reconnect(self) -> None:
        self.reconnected += 1

    async def close(self) -> None: ...


@dataclass
class Rig:
    """One launch, opened; `stop` is the button that drains, pressed twice leaves at once."""

    opened: Opened
    script: Script
    progress: Progress = field(default_factory=Progress)
    drain_seconds: float | None = None

    @property
    def store(self) -> Store:
        return self.opened.store

    @property
    def reader(self) -> Reader:
        return self.opened.store.reader

    @property
    def stop(self) -> StopButton:
        return self.opened.stop

    def launch(self) -> tuple[Launch, Run]:
        """A launch of the run that goes on, or of the next."""
        run = begin_or_continue(self.opened.job, self.store, clock=self.opened.clock)
        return Launch(self.opened, run, self.progress, drain_seconds=self.drain_seconds), run

    async def work(self) -> End:
        """Scan and send until the launch ends."""
        hold = holds_unknown(self.opened.job)
        self.store.recover(hold=hold, now=self.opened.clock.utcnow())
        approach = approach_to(self.opened.job, self.opened.source, self.reader, changed=None)
        begin_scan(self.store, approach)
        launch, _ = self.launch()
        end = await launch.work(approach)
        launch.end(end)
        return end

    def rows(self) -> list[ResultRow]:
        """Every selected item."""
        return list(self.reader.results(*self.opened.job.step_names))

    def outcomes(self) -> Counter[str | None]:
        """Attempts by outcome, open ones as None."""
        return Counter(row[0] for row in self.reader.query("SELECT outcome FROM attempts"))


def a_job(folder: Path, top: str = "") -> Job:
    """The job that the rig works on."""
    path = folder / "job.yaml"
    (folder / "data.csv").write_text("id,text\n1,a\n")
    path.write_text(
        "input: {path: data.csv, key: id}\n"
        "model: {name: openai/gpt-5.4-mini, base_url: 'http://127.0.0.1:9/v1', api_key_env: none,"
        " price: {input_mtok: 1, output_mtok: 2}, max_tokens: 64}\n"
        "prompt: {user: '{{ item.text }}'}\n"
        "schema: {mood: [good, bad]}\n"
        f"output: out.csv\n{top}\n"
    )
    return load_job(path)


def texts(count: int) -> list[dict[str, Any]]:
    """So many items with keys k0, k1 …"""
    return [{"id": f"k{n}", "text": f"text {n}"} for n in range(count)]


@asynccontextmanager
async def rig(
    folder: Path, items: Items, *, top: str = "", answer: Answer | None = None
) -> AsyncIterator[Rig]:
    """A launch over these items in the folder's store."""
    job, clock = a_job(folder, top), VirtualClock()
    script = Script(clock) if answer is None else Script(clock, answer)
    store = Store(job.store_path, job_path=job.path)
    try:
        prices = [price_for(step.model) for step in job.steps]
        steps = tuple(
            prepare_step(job, step, script, price, store.reader)
            for step, price in zip(job.steps, prices, strict=True)
        )
        source = open_items(items, job.input)
        stop = StopButton()
        yield Rig(Opened(job, job, store, source, steps, Silence(), clock, stop), script)
    finally:
        await store.close()


async def ticks(count: int = 20) -> None:
    """Let every task that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)
