"""Use of a rate limit in real time, as the server sees it: nearly all of it, and never more."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import children
from tests.benchmarks.figures import Figure, at_least, at_most
from tests.benchmarks.scenario import simulator, write_input, write_job

_PER_MINUTE = 600
_USED_SHARE = 0.98
_PROVIDER = "openai"
_FIRST_SECONDS = 60.0


def rate(seconds: float) -> Iterator[Figure]:
    """The requests that 600 a minute let through within so many seconds."""
    with simulator() as server, TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "items.jsonl", round(_PER_MINUTE / 60 * seconds * 2))
        job = write_job(
            folder,
            provider=_PROVIDER,
            url=server.url,
            concurrency=64,
            requests_per_minute=_PER_MINUTE,
        )
        with children.engine(_PROVIDER, job) as (process, _):
            server.wait_for(1, timeout_seconds=_FIRST_SECONDS)
            time.sleep(seconds)
            children.last_words(process)
        arrivals = [request.arrived_at for request in server.received]
        admitted = sum(at < arrivals[0] + seconds for at in arrivals)
        yield at_least(
            f"requests in {seconds:.0f} s at {_PER_MINUTE} a minute",
            admitted,
            round(_USED_SHARE * _PER_MINUTE / 60 * seconds),
        )
        yield at_most("requests in any 60 s", server.worst_window(60.0), _PER_MINUTE)
