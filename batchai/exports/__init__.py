"""Results out: one file, whole or absent, in the input's order."""

from batchai.exports.writing import ExportSummary, check_export, write_export

__all__ = ["ExportSummary", "check_export", "write_export"]
