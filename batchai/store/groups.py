"""Groups: what one commit of the ledger writes, each of them once.

A group's number is written in the group's own transaction. A commit that failed may have been
durable all the same (the error came after the write); the number tells, so that a group which is
tried again, or taken in from the spool, never counts twice.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import Connection

Row = tuple[Any, ...]
Operation = tuple[str, Row]
Operations = dict[str, list[Row]]

LENT_RUN = 0  # of attempts that a comparison has from the job's own store
LENT_OF_STEPS = (
    "step, part, state, fingerprint, outcome, error, result, model, attempts, tried, cost_pico, "
    "settled_at"
)
LENT_OF_ATTEMPTS = (
    "step, part, number, model, max_tokens, input_estimate, worst_pico, sent_at, closed_at, "
    "outcome, cost_pico, unconfirmed_pico, uncached_input, cache_read, cache_write_5m, "
    "cache_write_1h, output, reasoning, latency_ms, resolved_model, status, request_id, detail, "
    "answer, saved_pico, purpose, delivery"
)


def _marks(more: int, columns: str) -> str:
    return ", ".join("?" * (more + len(columns.split(","))))


# In the order in which a group runs them. One group never holds two of them for one item whose
# order would matter: the engine awaits each before the next.
_STATEMENTS = {
    "add_item": "INSERT INTO items (id, key, position, selected, row) VALUES (?, ?, ?, 1, ?)",
    "place_group": "INSERT INTO items (id, key, position, selected, row) VALUES (?, ?, ?, 2, ?) "
    "ON CONFLICT (id) DO UPDATE SET position = excluded.position, selected = 2, row = excluded.row",
    "add_step": "INSERT INTO item_steps (item_id, step, state) VALUES (?, ?, 'pending')",
    "add_later_step": "INSERT INTO item_steps (item_id, step, state) VALUES (?, ?, 'waiting')",
    # with its fingerprint, so that a later launch knows what its attempts asked
    "begin_part": "INSERT INTO item_steps (item_id, step, part, fingerprint, state) "
    "VALUES (?, ?, ?, ?, 'pending') ON CONFLICT (item_id, step, part) DO UPDATE "
    "SET fingerprint = excluded.fingerprint, state = 'pending', outcome = NULL, error = NULL, "
    "result = NULL, tried = 0",
    "lend_step": f"INSERT INTO item_steps (item_id, {LENT_OF_STEPS}, run_id) "  # noqa: S608
    f"VALUES ({_marks(1, LENT_OF_STEPS)}, {LENT_RUN})",
    "lend_attempt": "INSERT INTO attempts "  # noqa: S608 columns of ours
    f"(id, item_id, {LENT_OF_ATTEMPTS}, run_id, launch_id) "
    f"VALUES ({_marks(2, LENT_OF_ATTEMPTS)}, {LENT_RUN}, 0)",
    "place_item": "UPDATE items SET position = ?, selected = 1, row = ? WHERE id = ?",
    "reset_step": "UPDATE item_steps SET state = 'pending', outcome = NULL, error = NULL, "
    "fingerprint = NULL, tried = 0 "
    "WHERE item_id = ? AND step = ? AND part = 0",
    # a result without a note stays, with its request: should that be asked again, it stands
    "reopen_step": "UPDATE item_steps SET state = 'pending', tried = 0, "
    "fingerprint = CASE WHEN outcome = 'succeeded' AND error IS NULL THEN fingerprint END, "
    "outcome = NULL, error = NULL WHERE item_id = ? AND step = ? AND part = 0",
    "renew_step": "UPDATE item_steps SET outcome = NULL, error = NULL, tried = 0 "
    "WHERE item_id = ? AND step = ? AND part = 0",
    "wait_step": "UPDATE item_steps SET state = 'waiting', tried = 0 "
    "WHERE item_id = ? AND step = ? AND part = 0",
    "adopt_step": "UPDATE item_steps SET fingerprint = ? WHERE item_id = ? AND step = ? "
    "AND part = 0",
    "open_attempt": "INSERT INTO attempts (id, item_id, step, part, number, run_id, launch_id, "
    "model, max_tokens, input_estimate, worst_pico, sent_at, purpose) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "close_attempt": "UPDATE attempts SET closed_at = ?, outcome = ?, cost_pico = ?, "
    "unconfirmed_pico = ?, uncached_input = ?, cache_read = ?, cache_write_5m = ?, "
    "cache_write_1h = ?, output = ?, reasoning = ?, latency_ms = ?, resolved_model = ?, "
    "status = ?, "
    "request_id = ?, detail = ?, answer = ? WHERE id = ?",
    "note_saved": "UPDATE attempts SET saved_pico = ? WHERE id = ?",
    "note_delivery": "UPDATE attempts SET delivery = ? WHERE id = ?",
    "count_run": "UPDATE runs SET attempts = attempts + ?, cost_pico = cost_pico + ?, "
    "unconfirmed_pico = unconfirmed_pico + ? WHERE id = ?",
    "keep_step": "UPDATE item_steps SET attempts = attempts + 1, tried = tried + ?, "
    "cost_pico = cost_pico + ? WHERE item_id = ? AND step = ? AND part = ?",
    "charge_step": "UPDATE item_steps SET attempts = attempts + 1, cost_pico = cost_pico + ? "
    "WHERE item_id = ? AND step = ? AND part = 0",
    "settle_step": "UPDATE item_steps SET attempts = attempts + ?, tried = tried + ?, "
    "cost_pico = cost_pico + ?, state = ?, fingerprint = ?, outcome = ?, error = ?, result = ?, "
    "model = ?, run_id = ?, settled_at = ?, copied_from = NULL "
    "WHERE item_id = ? AND step = ? AND part = ?",
    "note_copied": "UPDATE item_steps SET copied_from = ? "
    "WHERE item_id = ? AND step = ? AND part = ?",
    "reuse_step": "UPDATE item_steps SET state = 'succeeded', fingerprint = ?, "
    "outcome = coalesce(nullif(outcome, 'unknown'), 'succeeded') "
    "WHERE item_id = ? AND step = ? AND part = ?",
    "release_step": "UPDATE item_steps SET state = 'pending' "
    "WHERE item_id = ? AND step = ? AND part = 0 AND state = 'waiting'",
    "forget_row": "UPDATE items SET row = NULL WHERE id = ?",
    "deselect_item": "UPDATE items SET selected = 0 WHERE id = ?",
    "set_meta": "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
    "add_history": "INSERT INTO history (run_id, launch_id, at, action, said) "
    "VALUES (?, ?, ?, ?, ?)",
    "set_budget": "UPDATE runs SET budget_pico = ? WHERE id = ?",
    "bad_row": "INSERT OR REPLACE INTO bad_rows (place, problem) VALUES (?, ?)",
}
_LAST = "SELECT value FROM meta WHERE key = 'group'"
_SET_LAST = "UPDATE meta SET value = ? WHERE key = 'group'"


@dataclass(frozen=True, slots=True)
class Group:
    """Operations by kind, with their number in the store's life."""

    number: int
    operations: Operations

    @property
    def paid(self) -> int:
        """How many closed attempts it holds."""
        return len(self.operations.get("close_attempt", ()))

    def cleaned(self) -> "Group":
        """The same without lone surrogates, which SQLite does not take."""
        return Group(
            self.number,
            {
                kind: [tuple(map(_cleaned, row)) for row in rows]
                for kind, rows in self.operations.items()
            },
        )


def apply(engine: Engine, group: Group) -> None:
    """Run a group in one transaction; nothing where it is in the store already."""
    with engine.begin() as connection:
        if group.number > last_number(connection):
            execute(connection, group)


def execute(connection: Connection, group: Group) -> None:
    """Run a group's statements in their order, within the caller's transaction."""
    for kind, statement in _STATEMENTS.items():
        rows = group.operations.get(kind)
        if rows:
            connection.exec_driver_sql(statement, _totals(rows) if kind == "count_run" else rows)
    connection.exec_driver_sql(_SET_LAST, (str(group.number),))


def last_number(connection: Connection) -> int:
    """The number of the newest group in the store."""
    return int(connection.exec_driver_sql(_LAST).scalar_one())


def _totals(rows: list[Row]) -> list[Row]:
    """One row a run: a group closes many attempts of it."""
    sums: dict[int, list[int]] = {}
    for attempts, cost, unconfirmed, run_id in rows:
        total = sums.setdefault(run_id, [0, 0, 0])
        total[0] += attempts
        total[1] += cost
        total[2] += unconfirmed
    return [(*total, run_id) for run_id, total in sums.items()]


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value
