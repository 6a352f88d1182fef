"""One launch of a job, as `batchai run` does it.

`python -m tests.benchmarks.engine_loop PROVIDER JOB` prints a line of JSON when the imports are
done, and one with what the launch used at its end; it leaves at once, as a killed process does,
when its standard input is closed before.
"""

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from batchai.domain import State
from batchai.operations.run import run_job
from batchai.spec import load_job
from tests.benchmarks.resources import cpu_seconds, peak_mb

# what a launch imports when it needs it
_LATE = {
    "openai": ("batchai.providers.openai_chat", "openai"),
    "anthropic": ("batchai.providers.anthropic_messages", "anthropic"),
}


def main() -> None:
    """Run and print."""
    provider, job_path = sys.argv[1:]
    for module in ("genai_prices.data", *_LATE[provider]):
        importlib.import_module(module)
    begin = cpu_seconds()
    _tell({"ready_at": time.monotonic()})
    threading.Thread(target=_leave_when_told, args=(begin,), daemon=True).start()
    job = load_job(Path(job_path))
    summary = asyncio.run(run_job(job))
    assert summary.counts.keys() == {State.SUCCEEDED}, summary
    _tell(_used(begin))


def _leave_when_told(begin: float) -> None:
    sys.stdin.read()
    _tell(_used(begin))
    os._exit(0)


def _used(begin: float) -> dict[str, float]:
    return {"cpu_seconds": cpu_seconds() - begin, "peak_mb": peak_mb()}


def _tell(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
