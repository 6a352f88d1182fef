"""A resumable batch-processing engine for LLM APIs.

    from batchai import load_job, run, results, report

The names are imported when they are first used, so that `import batchai` stays quick.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchai.operations.api import load_job, report, results, run

__version__ = "0.1.0"
__all__ = ["__version__", "load_job", "report", "results", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'batchai' has no attribute {name!r}")
    from batchai.operations import api

    return getattr(api, name)
