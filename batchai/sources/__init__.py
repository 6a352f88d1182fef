"""Rows in: every kind of input as one stream of records."""

from batchai.sources.inspection import DataSketch, inspect_data
from batchai.sources.keys import content_key, key_of
from batchai.sources.records import BAD_ROW_REMEDY, BadRow, Record
from batchai.sources.source import Source, open_items, open_source

__all__ = [
    "BAD_ROW_REMEDY",
    "BadRow",
    "DataSketch",
    "Record",
    "Source",
    "content_key",
    "inspect_data",
    "key_of",
    "open_items",
    "open_source",
]
