"""What the end-to-end tests share: a job in a folder of its own, and the command line on it."""

import asyncio
import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchai.domain import ResultRow
from batchai.operations.run import RunOptions, RunSummary, run_job
from batchai.simulator import Received
from batchai.spec import Overrides, load_job
from batchai.spec.models import Job
from batchai.store import Reader

KEY = "canary-3f9a2c71d4e8b605"  # no real key: it must never be seen again
PRICE = "{input_mtok: 1, output_mtok: 2}"
ENVIRONMENT = {**os.environ, "SIM_KEY": KEY, "PYTHONWARNINGS": "error"}


@dataclass
class Workspace:
    """A folder with `data.csv` and `job.yaml`; `top` holds further lines of the job file."""

    folder: Path
    url: str
    model: str = "openai/gpt-5.4-mini"
    top: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    def write(self, rows: Mapping[str, str] | int = 20) -> "Workspace":
        """Write data (key → text, or so many of them) and job."""
        if isinstance(rows, int):
            rows = {f"k{n}": f"text number {n} of many" for n in range(rows)}
        self.texts = dict(rows)
        self.write_rows([{"id": key, "text": text} for key, text in rows.items()])
        return self.write_job()

    def write_rows(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Write `data.csv`."""
        found = list(rows)
        with (self.folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(found[0]))
            writer.writeheader()
            writer.writerows(found)

    def write_job(
        self, *, prompt: str = "Classify: {{ item.text }}", schema: str = ""
    ) -> "Workspace":
        """Write `job.yaml`."""
        self.job_path.write_text(
            f"input: {{path: data.csv, key: id}}\n"
            f"model: {{name: {self.model}, base_url: '{self.url}', api_key_env: SIM_KEY,"
            f" price: {PRICE}, max_tokens: 64}}\n"
            f"prompt: {{user: '{prompt}'}}\n"
            f"schema: {schema or '{mood: [good, bad]}'}\n"
            f"output: out.csv\n{self.top}\n"
        )
        return self

    @property
    def job_path(self) -> Path:
        """The job file."""
        return self.folder / "job.yaml"

    def job(self, *settings: str) -> Job:
        """The loaded job, with `--set` values."""
        return load_job(self.job_path, overrides=Overrides(settings=settings))

    def run(self, *settings: str, options: RunOptions | None = None) -> RunSummary:
        """Run the job in this process."""
        options = options or RunOptions(yes=True)
        return asyncio.run(run_job(self.job(*settings), options))

    def command(self, *arguments: str) -> list[str]:
        """A command line of batchai in a process of its own."""
        return [sys.executable, "-m", "batchai", arguments[0], "job.yaml", *arguments[1:]]

    def start(self, *arguments: str, stdin: int | None = None) -> subprocess.Popen[str]:
        """Start a command; the caller waits for its end."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=stdin,
            cwd=self.folder,
            env=ENVIRONMENT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def results(self) -> list[ResultRow]:
        """What the store has of every selected item."""
        reader = Reader(self.job().store_path)
        try:
            return list(reader.results(*self.job().step_names))
        finally:
            reader.close()

    def exported(self) -> list[dict[str, Any]]:
        """The rows of the result file."""
        with (self.folder / "out.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


class Steps(Workspace):
    """A job with `steps:`, written as YAML flow maps, one a line."""

    def steps(self, *blocks: str, top: str = "", stop_if: str = "none") -> "Steps":
        """Write `job.yaml` with these steps."""
        lines = "\n".join(f"  {block}" for block in blocks)
        self.job_path.write_text(
            f"input: {{path: data.csv, key: id}}\nmodel: {self.model_block()}\n"
            f"steps:\n{lines}\noutput: out.csv\nstop_if: {stop_if}\n{top}\n"
        )
        return self

    def model_block(self, name: str = "openai/gpt-5.4-mini") -> str:
        """The settings of a model."""
        return (
            f"{{name: {name}, base_url: '{self.url}', api_key_env: SIM_KEY, price: {PRICE},"
            " max_tokens: 64}"
        )

    def exported_from(self, name: str) -> list[dict[str, Any]]:
        """The rows of another result file."""
        with (self.folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def prompts_of(received: Iterable[Received]) -> list[str]:
    """The user's prompts of requests, in order of arrival."""
    return [request.prompt for request in received]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
