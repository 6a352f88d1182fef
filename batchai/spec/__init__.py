"""The job file: strict reading, frozen values."""

from batchai.spec.editor import editor_schema
from batchai.spec.finding import find_job
from batchai.spec.identity import spec_identity, step_identity, step_shape
from batchai.spec.loading import find_mistakes, load_job
from batchai.spec.overrides import Overrides

__all__ = [
    "Overrides",
    "editor_schema",
    "find_job",
    "find_mistakes",
    "load_job",
    "spec_identity",
    "step_identity",
    "step_shape",
]
