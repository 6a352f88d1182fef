"""A store as a long night leaves it: two attempts an item, written with SQL in a minute a million.

Of twenty items, five have a first attempt that failed in a way of its own, fourteen were asked a
second time by a later run, and one failed twice. The input is not written: reports need none.
"""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from batchai.clock import Clock
from batchai.spec import load_job, spec_identity
from batchai.store import Store
from batchai.store.values import to_ms
from tests.benchmarks.scenario import ANSWER, write_job

_AT_ONCE = 20_000
_NIGHT = timedelta(hours=20)

_NUMBERS = (
    "WITH RECURSIVE numbers(n) AS "
    "(SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last) "
)
_ITEMS = (
    "INSERT INTO items (id, key, position, selected, row) "
    + _NUMBERS
    + "SELECT n, printf('f-%08d', n), n - 1, 1, json_object('id', printf('f-%08d', n), 'text', "
    "'I ordered the blue kettle three weeks ago and it arrived only today, without its lid. "
    "Please send the lid. Order ' || n) FROM numbers"
)
_STEPS = (
    "INSERT INTO item_steps (item_id, step, state, fingerprint, outcome, error, result, model, "
    "attempts, tried, cost_pico, run_id, settled_at) "
    + _NUMBERS
    + "SELECT n, 'main', CASE n % 20 WHEN 0 THEN 'failed' ELSE 'succeeded' END, "
    "CAST(printf('%032d', n) AS BLOB), CASE n % 20 WHEN 0 THEN 'invalid' ELSE 'succeeded' END, "
    "CASE n % 20 WHEN 0 THEN 'priority: ''urgent'' is none of high, medium, low' END, "
    "CASE n % 20 WHEN 0 THEN NULL ELSE :answer END, :model, 2, 2, 1500000000 + n % 977, 2, "
    "CAST(:begin + n * :pace AS INTEGER) FROM numbers"
)
_ATTEMPTS = (
    "INSERT INTO attempts (id, item_id, step, number, run_id, launch_id, model, max_tokens, "
    "input_estimate, worst_pico, sent_at, closed_at, outcome, cost_pico, unconfirmed_pico, "
    "uncached_input, cache_read, output, latency_ms, resolved_model, status, request_id, detail) "
    + _NUMBERS
    + ", ended(n, outcome, latency) AS (SELECT n, "
    "CASE :number * 100 + n % 20 WHEN 101 THEN 'rate_limited' WHEN 102 THEN 'invalid' "
    "WHEN 103 THEN 'truncated' WHEN 104 THEN 'server_error' WHEN 105 THEN 'timed_out' "
    "WHEN 100 THEN 'invalid' WHEN 200 THEN 'invalid' ELSE 'succeeded' END, "
    "400 + abs(random()) % 600 + abs(random()) % 600 * (abs(random()) % 9 = 0) * 9 FROM numbers) "
    "SELECT :above + n, n, 'main', :number, 1 + (:number = 2 AND n % 20 > 5), "
    "1 + (:number = 2 AND n % 20 > 5), :model, 512, 100, 3200000000, "
    "CAST(:begin + n * :pace AS INTEGER), CAST(:begin + n * :pace AS INTEGER) + latency, outcome, "
    "CASE WHEN outcome IN ('succeeded', 'invalid', 'truncated') THEN 750000000 ELSE 0 END, "
    "CASE outcome WHEN 'timed_out' THEN 3200000000 ELSE 0 END, "
    "CASE WHEN outcome IN ('succeeded', 'invalid', 'truncated') THEN 100 ELSE 0 END, "
    "CASE WHEN outcome = 'succeeded' AND n % 3 THEN 60 ELSE 0 END, "
    "CASE WHEN outcome IN ('succeeded', 'invalid', 'truncated') THEN 100 + n % 101 ELSE 0 END, "
    "latency, :model || '-2026-10-01', 200, 'req_' || n, "
    "CASE WHEN outcome <> 'succeeded' THEN 'as the provider said' END FROM ended"
)


_COUNT = (
    "UPDATE runs SET (attempts, cost_pico, unconfirmed_pico) = (SELECT count(*), sum(cost_pico), "
    "sum(unconfirmed_pico) FROM attempts WHERE run_id = runs.id)"
)
_COUNT_ITEMS = (
    "UPDATE item_steps SET cost_pico = (SELECT sum(cost_pico) FROM attempts AS a "
    "WHERE a.item_id = item_steps.item_id AND a.step = item_steps.step)"
)


def night(folder: Path, count: int) -> Path:
    """Write a job and its store of so many items, and twice as many attempts; the job's path."""
    path = write_job(folder, provider="openai", url="http://127.0.0.1:9", concurrency=64)
    job = load_job(path)
    begin = Clock().utcnow() - 2 * _NIGHT
    store = Store(job.store_path, job_path=path)
    try:
        for start in (begin, begin + _NIGHT):
            run = store.begin_run(spec=spec_identity(job), budget=job.budget_usd, now=start)
            launch = store.begin_launch(run.id, now=start)
            end = start + _NIGHT
            store.end_launch(launch, exit_code=1, reason="finished", now=end)
            store.end_run(run.id, now=end)
        with closing(sqlite3.connect(job.store_path)) as connection, connection:
            _fill(connection, count, model=job.steps[0].model.name, begin=to_ms(begin))
    finally:
        asyncio.run(store.close())
    return path


def _fill(connection: sqlite3.Connection, count: int, *, model: str, begin: int) -> None:
    night_ms = _NIGHT // timedelta(milliseconds=1)
    values = {"model": model, "answer": ANSWER, "pace": night_ms / count}
    for first in range(1, count + 1, _AT_ONCE):
        numbers = {"first": first, "last": min(count, first + _AT_ONCE - 1)}
        for statement in (_ITEMS, _STEPS):
            connection.execute(statement, {**values, **numbers, "begin": begin + night_ms})
    for number in (1, 2):
        for first in range(1, count + 1, _AT_ONCE):
            numbers = {"first": first, "last": min(count, first + _AT_ONCE - 1), "number": number}
            start = begin + (number - 1) * night_ms
            above = (number - 1) * count
            connection.execute(_ATTEMPTS, {**values, **numbers, "begin": start, "above": above})
    connection.execute(_COUNT)
    connection.execute(_COUNT_ITEMS)
