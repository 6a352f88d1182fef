"""The one sandbox: prompts, `where`, `if` and checks are compiled and evaluated here."""

from batchai.templates.compiling import (
    compile_expression,
    compile_template,
    constant_beginning,
    is_name,
    is_used_whole,
    nested_fields_used,
    variables_used,
)
from batchai.templates.cutting import cut_within
from batchai.templates.sandbox import MAX_OUTPUT_CHARS

__all__ = [
    "MAX_OUTPUT_CHARS",
    "compile_expression",
    "compile_template",
    "constant_beginning",
    "cut_within",
    "is_name",
    "is_used_whole",
    "nested_fields_used",
    "variables_used",
]
