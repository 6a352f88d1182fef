"""JSON Schema of the job file, for completion and checks in editors."""

from typing import Any

from batchai.spec.fields import JOB
from batchai.spec.shorthand import editor_definitions


def editor_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) that accepts every valid job and refuses unknown fields.

    No field is required, for the project file may give any; `batchai check` knows all the rules.
    """
    job = {name: value for name, value in JOB.schema().items() if name != "required"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "batchai job file",
        **job,
        "$defs": editor_definitions(),
    }
