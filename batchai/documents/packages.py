"""The packages of the extra `documents`, imported when a document is met."""

import importlib
from typing import Any

from batchai.errors import SourceError


def needed(module: str) -> Any:
    """A module of the extra; raises SourceError with the remedy where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SourceError(
            f'documents and images need the package {module}: pip install "batchai[documents]"'
        ) from error
