"""The tables. Money is integer pico-dollars, times are integer milliseconds UTC, values JSON text.

`item_steps` holds where an item is in a step: part 0 is the step as a whole, parts from 1 on are
the pieces of a step that sends more than one request (`foreach`, turns, a reduction's nodes).
`attempts` is the ledger. An attempt without an outcome is open: it was sent, or was about to be,
and its worst cost counts until it is closed.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),  # set when every selected item is settled
    Column("spec", Text, nullable=False),  # the spec's identity, canonical JSON
    Column("budget_pico", BigInteger),
    Column("estimate", Text),  # what it was expected to cost and to take, JSON
    # kept by the writer in the transaction that closes attempts, so that `status` reads one row
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("cost_pico", BigInteger, nullable=False, server_default="0"),
    Column("unconfirmed_pico", BigInteger, nullable=False, server_default="0"),
)

launches = Table(
    "launches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
    Column("host", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("exit_code", Integer),
    Column("reason", Text),
)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("position", Integer, nullable=False, index=True),
    Column("selected", Integer, nullable=False),  # 0: left the input, 2: a group of a reduction
    Column("row", Text),  # null where `retain.items` is false and the item is settled
    Index("ix_items_unselected", "id", sqlite_where=text("selected = 0")),
)

item_steps = Table(
    "item_steps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item_id", Integer, ForeignKey("items.id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),
    Column("fingerprint", LargeBinary),
    Column("outcome", Text),
    Column("error", Text),
    Column("result", Text),
    Column("model", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),  # ever
    Column("tried", Integer, nullable=False, server_default="0"),  # counted against `attempts:`
    Column("cost_pico", BigInteger, nullable=False, server_default="0"),
    Column("run_id", Integer),
    Column("settled_at", BigInteger),
    Column("copied_from", Integer),  # the item whose equal request was paid for
    UniqueConstraint("item_id", "step", "part"),
    # counts by state, and the pages of what is pending, read it alone
    Index("ix_item_steps_state", "state", "step", "part", "item_id"),
    # what ended in another way than by an answer, a few of many: it is counted here alone, by
    # queries that say this very condition
    Index(
        "ix_item_steps_other",
        "step",
        "part",
        "state",
        "outcome",
        "item_id",
        sqlite_where=text("outcome NOT IN ('succeeded', '')"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item_id", Integer, ForeignKey("items.id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("number", Integer, nullable=False),
    Column("run_id", Integer, nullable=False),
    Column("launch_id", Integer, nullable=False),
    Column("model", Text, nullable=False),  # as asked for: provider/name
    Column("max_tokens", Integer, nullable=False),
    Column("input_estimate", Integer, nullable=False),
    Column("worst_pico", BigInteger, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("outcome", Text),  # null: open
    Column("cost_pico", BigInteger, nullable=False, server_default="0"),
    Column("unconfirmed_pico", BigInteger, nullable=False, server_default="0"),
    Column("uncached_input", Integer, nullable=False, server_default="0"),
    Column("cache_read", Integer, nullable=False, server_default="0"),
    Column("cache_write_5m", Integer, nullable=False, server_default="0"),
    Column("cache_write_1h", Integer, nullable=False, server_default="0"),
    Column("output", Integer, nullable=False, server_default="0"),
    Column("reasoning", Integer, nullable=False, server_default="0"),
    Column("latency_ms", Integer),
    Column("resolved_model", Text),
    Column("status", Integer),
    Column("request_id", Text),
    Column("detail", Text),
    Column("answer", Text),  # of answers that were paid for and are no result
    # what its cached tokens would have cost more as plain input; below 0: writing them cost more
    Column("saved_pico", BigInteger, nullable=False, server_default="0"),
    Column("purpose", Text),  # the policy that it was made for; null: an item's first
    Column("delivery", Text),  # that it was billed at, where not the standard one: flex …
    Index("ix_attempts_item", "item_id", "step"),
    Index("ix_attempts_open", "item_id", sqlite_where=text("outcome IS NULL")),
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
    Column("launch_id", Integer),  # null: said while no launch was at work
    Column("at", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("said", Text, nullable=False),  # JSON
)

bad_rows = Table(
    "bad_rows",
    metadata,
    Column("place", Text, primary_key=True),
    Column("problem", Text, nullable=False),
)
