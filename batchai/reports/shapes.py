"""The shape of what `--json` prints, as JSON Schema, from the values themselves."""

from typing import Any

from pydantic import TypeAdapter

from batchai.reports.comparison import Comparison
from batchai.reports.job_report import JobReport
from batchai.reports.job_status import JobStatus
from batchai.reports.json_text import SCHEMA_VERSION
from batchai.reports.shown import Shown

_VALUES: dict[str, Any] = {
    "report": JobReport,
    "status": JobStatus,
    "show": Shown,
    "compare": Comparison,
}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_shape(command: str) -> dict[str, Any]:
    """JSON Schema of `batchai COMMAND JOB --json`: report, status, show or compare.

    Fields may be added while `schema_version` is 1; none is renamed or removed.
    """
    shape = TypeAdapter(_VALUES[command]).json_schema(mode="serialization")
    version = {"type": "integer", "const": SCHEMA_VERSION}
    for variant in shape.get("anyOf", [shape]):
        found = _definition(shape, variant)
        found["properties"] = {"schema_version": version, **found["properties"]}
        found["required"] = ["schema_version", *found["required"]]
    return {"$schema": _DRAFT, **shape}


def _definition(shape: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    reference: str | None = variant.get("$ref")
    found: dict[str, Any] = variant
    if reference is not None:
        found = shape["$defs"][reference.rpartition("/")[2]]
    return found
