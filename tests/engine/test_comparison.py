"""What a scan finds of each item, and what the store makes of it."""

from collections.abc import Mapping
from typing import Any

from batchai.domain import Outcome, Settlement, State, Usage
from batchai.engine.intake import Intake, Selection
from batchai.engine.progress import Progress
from batchai.engine.scan import Change
from batchai.schemas import AnswerSchema
from batchai.store import Reader, Store
from batchai.store.ledger import StepEnd
from tests.engine.scanning import a_scan, changes, compared, prompts, rows, settle, take_in
from tests.store.books import STEP, add_items, an_attempt
from tests.virtual import EPOCH


async def test_each_item_is_compared_with_what_is_known_of_its_key(
    store: Store, reader: Reader
) -> None:
    ours = prompts()
    await take_in(store, a_scan(rows("a", "b", "c", "d"), reader))
    for key, state in {"k0": State.SUCCEEDED, "k1": State.FAILED, "k2": State.SUCCEEDED}.items():
        await settle(store, key, ours, state=state)
    items = rows("a", "b", "c edited", "d edited", "e")
    items[0]["note"] = "a column that the prompt does not use"

    assert await changes(reader, items, compared(ours)) == [
        Change.SAME,
        Change.SAME,
        Change.EDITED,
        Change.PENDING,
        Change.NEW,
    ]
    assert await changes(reader, items) == [
        Change.SAME,
        Change.SAME,
        Change.SAME,
        Change.PENDING,
        Change.NEW,
    ]


async def test_a_changed_spec_reruns_or_keeps_as_the_user_says(
    store: Store, reader: Reader
) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    for key in ("k0", "k1"):
        await settle(store, key, prompts())
    today, items = prompts("Class: {{ item.text }}"), rows("a", "b edited", "c")

    rerun = compared(today, spec_changed=True)
    keep = compared(today, spec_changed=True, keep=True)

    assert await changes(reader, items, rerun) == [Change.CHANGED, Change.CHANGED, Change.NEW]
    assert await changes(reader, items, keep) == [Change.KEPT, Change.EDITED, Change.NEW]


async def test_kept_results_stay_kept_where_rows_are_not_retained(
    store: Store, reader: Reader
) -> None:
    await take_in(store, a_scan(rows("a"), reader))
    await settle(store, "k0", prompts())
    await store.ledger.absorb([("forget_row", (1,))])
    keep = compared(prompts("Class: {{ item.text }}"), spec_changed=True, keep=True)

    assert await changes(reader, rows("a"), keep) == [Change.KEPT]


async def test_answers_that_fit_a_changed_schema_stay(store: Store, reader: Reader) -> None:
    def schema(*moods: str) -> Mapping[str, Any]:
        return {"type": "object", "properties": {"mood": {"enum": list(moods)}}}

    before, today = prompts(identity=schema("good", "bad")), prompts(identity=schema("good"))
    await take_in(store, a_scan(rows("a", "b", "c", "d"), reader))
    await settle(store, "k0", before, result={"mood": "good"})
    await settle(store, "k1", before, result={"mood": "bad"})
    await settle(store, "k2", before, result={"mood": "good"})
    await settle(store, "k3", before, state=State.FAILED)
    comparison = compared(
        today, spec_changed=True, before=before, answers=AnswerSchema(schema("good"))
    )

    assert await changes(reader, rows("a", "b", "c edited", "d"), comparison) == [
        Change.REVALIDATED,
        Change.CHANGED,
        Change.CHANGED,
        Change.CHANGED,
    ]


async def test_an_item_that_cannot_be_rendered_is_compared_too(
    store: Store, reader: Reader
) -> None:
    ours = prompts("{{ 1 / (item.text | int) }}")
    await take_in(store, a_scan(rows("0", "1"), reader))
    await store.ledger.settle_unsent(
        (1, STEP, 0), StepEnd(State.FAILED, b"unrenderable", "unrenderable"), run_id=1, at=EPOCH
    )

    assert await changes(reader, rows("0", "1"), compared(ours)) == [Change.SAME, Change.PENDING]
    assert await changes(reader, rows("2", "1"), compared(ours)) == [
        Change.EDITED,
        Change.PENDING,
    ]


async def test_a_held_item_waits_until_its_own_row_changes(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    await settle(store, "k1", prompts("An older one: {{ item.text }}"))
    await store.ledger.absorb([("reset_step", (2, STEP))])
    for item in (1, 2):
        await store.ledger.open_attempt(an_attempt(store, item, number=2))
    store.recover(hold=True, now=EPOCH)

    assert await changes(reader, rows("a", "b"), compared(prompts())) == [Change.SAME] * 2
    rerun = compared(prompts(), spec_changed=True)
    assert await changes(reader, rows("a", "b edited"), rerun) == [Change.SAME, Change.CHANGED]


async def test_an_item_that_was_to_be_sent_again_stands_where_its_old_request_is_todays(
    store: Store, reader: Reader
) -> None:
    await take_in(store, a_scan(rows("a", "b", "c"), reader))
    for key in ("k0", "k1", "k2"):
        await settle(store, key, prompts(), outcome="invalid" if key == "k2" else "succeeded")
    await store.ledger.absorb([("reopen_step", (item, STEP)) for item in (1, 2, 3)])
    items, today = rows("a", "b edited", "c"), compared(prompts())

    expected = [Change.SAME, Change.PENDING, Change.PENDING]  # fixed values are no answer
    assert await changes(reader, items, today) == expected

    intake = Intake(
        a_scan(items, reader, comparison=today),
        Selection("stamp", is_first=False),
        store=store,
        steps=(STEP,),
        progress=Progress(),
    )
    await intake.run(refresh=lambda: None, is_over=lambda: False)
    assert store.reader.state_counts(STEP) == {State.SUCCEEDED: 1, State.PENDING: 2}


async def test_attempts_at_another_request_count_no_more(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    for item in (1, 2):
        attempt = an_attempt(store, item)
        await store.ledger.open_attempt(attempt)
        failed = Settlement(attempt.id, Outcome.INVALID, closed_at=EPOCH, usage=Usage())
        await store.ledger.close_attempt(attempt, failed, counts=True, end=None)
    scan = a_scan(rows("a", "b edited"), reader, comparison=compared(prompts()))

    selection = Selection("stamp", is_first=False)
    intake = Intake(scan, selection, store=store, steps=(STEP,), progress=Progress())
    await intake.run(refresh=lambda: None, is_over=lambda: False)

    pending = store.reader.pending(STEP, after=0, limit=9)
    steps = [item.steps[STEP, 0] for item in pending]
    assert [(step.attempts, step.tried) for step in steps] == [(1, 1), (1, 0)]


async def test_only_selected_items_call_for_their_rows(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b"), reader))
    assert not reader.has_pending_without_row()
    await store.ledger.absorb([("forget_row", (1,))])
    assert reader.has_pending_without_row()
    await store.ledger.absorb([("deselect_item", (1,))])

    assert not reader.has_pending_without_row()


async def test_rows_that_left_the_input_leave_the_selection(store: Store, reader: Reader) -> None:
    await take_in(store, a_scan(rows("a", "b", "c"), reader))
    await add_items(store, 12_000)  # more than one group of removed ones
    progress = Progress()
    scan = a_scan(rows("a", "b"), reader, comparison=compared(prompts()))

    intake = Intake(
        scan, Selection("x", is_first=False), store=store, steps=(STEP,), progress=progress
    )
    await intake.run(refresh=lambda: None, is_over=lambda: False)

    assert progress.changes["removed"] == 12_001
    assert [row.key for row in store.reader.results(STEP)] == ["k0", "k1"]
    assert store.reader.state_counts(STEP) == {State.PENDING: 2}
