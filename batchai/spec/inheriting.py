"""What the steps of a job take over from the job: its model and its policies."""

from collections.abc import Mapping

from batchai.spec.document import Node, Scalar, Table
from batchai.spec.overrides import kept_for_model, replaced
from batchai.spec.sections import Section

POLICIES = (
    "on_truncated",
    "on_invalid",
    "on_refused",
    "on_unknown",
    "on_too_long",
    "fallback",
    "escalate",
    "cache",
)
_INHERITED = ("model", *POLICIES)


def with_inherited(job: Table, model: Section) -> Table:
    """The job's map in which each step has the job's model and policies where it has none.

    A step's model without a name goes on with the job's, with its own parameters in it.
    """
    steps = job.entries.get("steps")
    if not isinstance(steps, Table):
        return job
    given = {name: job.entries[name] for name in _INHERITED if name in job.entries}
    blocks = {
        name: _inheriting(block, given, model) if isinstance(block, Table) else block
        for name, block in steps.entries.items()
    }
    return replaced(job, "steps", Table(steps.place, blocks))


def _inheriting(block: Table, given: Mapping[str, Node], model: Section) -> Table:
    entries = {**given, **block.entries}
    own, common = block.entries.get("model"), given.get("model")
    if isinstance(own, Table | Scalar) and isinstance(common, Table | Scalar):
        table, base = model.table(own), model.table(common)
        if "name" in table.entries:
            base = kept_for_model(base, table.entries["name"])
        entries["model"] = Table(own.place, {**base.entries, **table.entries})
    return Table(block.place, entries)
