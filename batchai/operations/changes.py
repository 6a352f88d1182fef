"""How a launch gets at its items: from the store, by going on with a scan, or by a comparison."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from batchai.engine.intake import SCAN_MARK, Selection
from batchai.engine.scan import Comparison, Scan, StepComparison
from batchai.operations.functions import checks_of
from batchai.operations.opening import Opened, asking_of, request_identity
from batchai.schemas import AnswerSchema
from batchai.sources import Source
from batchai.spec import spec_identity, step_identity
from batchai.spec.models import Job, Step
from batchai.store import Reader, Store
from batchai.store.values import from_json

Changed = Literal["rerun", "keep"]

_JUDGING = {"schema", "checks"}  # of a step: they judge an answer and do not make it


@dataclass(frozen=True, slots=True)
class Approach:
    """selection None: nothing changed and all is taken in, the store knows what is pending.

    goes_on: with a comparison that the user has allowed under today's spec, and that was
    interrupted.
    """

    selection: Selection | None
    comparison: Comparison | None = None
    skip: int = 0
    goes_on: bool = False

    @property
    def spec_changed(self) -> bool:
        """Whether settled items were made under another spec."""
        return self.comparison is not None and self.comparison.spec_changed


def approach_to(job: Job, source: Source, reader: Reader, *, changed: Changed | None) -> Approach:
    """Decide by what the store remembers of the last scan and the last spec."""
    mark = from_json(reader.meta(SCAN_MARK) or "null")
    stamp = stamp_of(job, source)
    before = _spec_before(job, reader, mark)
    is_as_before = mark is not None and stamp is not None and mark["stamp"] == stamp
    if before is None and is_as_before and changed != "rerun":
        knows_rows = not reader.has_pending_without_row()
        if mark["done"] and knows_rows:
            return Approach(None)
        if mark["first"] and knows_rows:
            return Approach(_selection(job, stamp, is_first=True), skip=mark["records"])
    if reader.is_empty():
        return Approach(_selection(job, stamp, is_first=True))
    goes_on = _goes_on(job, reader, mark)
    keep = changed == "keep" or (changed is None and goes_on and mark["keep"])
    comparison = replace(_comparison(job, before=before, keep=keep), reruns_kept=changed == "rerun")
    selection = Selection(
        stamp, is_first=False, before=before, keep=keep, retain_rows=job.retain.items
    )
    return Approach(selection, comparison, goes_on=goes_on)


def begin_scan(store: Store, approach: Approach) -> None:
    """Write down what the approach is about to do; before the run takes on today's spec, so that
    no launch which dies in between leaves a change behind that nobody notices."""
    if approach.selection is None:
        return
    mark = approach.selection.mark(records=approach.skip, done=False)
    store.begin_scan(
        compare=approach.comparison is not None,
        resumes=approach.skip > 0,
        fact=(SCAN_MARK, mark),
    )


def scan_of(opened: Opened, reader: Reader, approach: Approach) -> Scan:
    """The scan that an approach calls for; `reader` is its own, since it runs in a thread."""
    job = opened.job
    return Scan(
        opened.source,
        key_columns=job.input.key,
        reader=reader,
        steps=job.step_names,
        comparison=approach.comparison,
        skip=approach.skip,
        skip_bad_rows=job.input.on_bad_row == "skip",
    )


def scan_is_done(reader: Reader) -> bool:
    """Whether all of the current selection was taken in."""
    return bool((from_json(reader.meta(SCAN_MARK) or "null") or {}).get("done"))


def surveyable(job: Job, approach: Approach) -> Approach:
    """The same approach, but rendering and from the start, so that all of it can be priced."""
    comparison = approach.comparison or _comparison(job, before=None, keep=False)
    return Approach(approach.selection, comparison)


def comparison_with_today(job: Job, reader: Reader | None) -> Comparison:
    """Stored items against today's spec, for `plan` and `try`."""
    before = None if reader is None else _spec_before(job, reader, None)
    return _comparison(job, before=before, keep=False)


def _goes_on(job: Job, reader: Reader, mark: Mapping[str, Any] | None) -> bool:
    """Whether a comparison of today's spec was begun, so that the user has said what is to be."""
    if mark is None or mark["done"] or mark["before"] is None:
        return False
    last = reader.last_run()
    return last is not None and last.spec == spec_identity(job)


def _selection(job: Job, stamp: str | None, *, is_first: bool) -> Selection:
    return Selection(stamp, is_first=is_first, retain_rows=job.retain.items)


def stamp_of(job: Job, source: Source) -> str | None:
    """A cheap identity of source and selection; None where it cannot be told unchanged.

    Files that prompts attach may change without the source.
    """
    stamp = source.stamp()
    if stamp is None or any(step.prompt.attachments for step in job.steps):
        return None
    return hashlib.sha256(f"{stamp}\0{job.input.key}".encode()).hexdigest()[:32]


def _spec_before(
    job: Job, reader: Reader, mark: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The spec that settled items were made under, None where it is today's.

    In a comparison that was not finished some of them are of the run's own: where the job was
    changed back in the meantime, these are the ones that are of another.
    """
    last, today = reader.last_run(), spec_identity(job)
    specs = [] if mark is None or mark["done"] or mark["before"] is None else [mark["before"]]
    specs += [] if last is None else [last.spec]
    return next((spec for spec in specs if spec != today), None)


def _comparison(job: Job, *, before: Mapping[str, Any] | None, keep: bool) -> Comparison:
    steps = {
        step.name: _step_comparison(job, step, before and before.get(step.name))
        for step in job.item_steps
    }
    return Comparison(steps, keep=keep)


def _step_comparison(job: Job, step: Step, before: Mapping[str, Any] | None) -> StepComparison:
    """before: what the step was when its results were made; None: as now, or there was none."""
    asking = asking_of(job, step)
    today = step_identity(step, variables=job.vars)
    if before is None or before == today:
        return StepComparison(asking)
    differing = {p for p in today.keys() | before.keys() if today.get(p) != before.get(p)}
    if not differing & _JUDGING or differing - _JUDGING - {"policies"}:
        return StepComparison(asking, spec_changed=True)
    then = request_identity(before)
    return StepComparison(
        asking,
        spec_changed=True,
        before=asking_of(job, step, identity=then),
        answers=AnswerSchema(step.json_schema),
        checks=checks_of(job, step),
    )
