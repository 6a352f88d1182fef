"""JSON Schema: into a provider's dialect, and out of an answer."""

from batchai.schemas.answers import AnswerSchema, Reading
from batchai.schemas.bounds import default_max_tokens, output_token_bound, typical_output_tokens
from batchai.schemas.checks import Checks, doubts_of
from batchai.schemas.dialects import normalise
from batchai.schemas.fields import TEXT_FIELD, closed_fields, result_fields
from batchai.schemas.mistakes import schema_mistakes
from batchai.schemas.parsing import safe_text, safe_value

__all__ = [
    "TEXT_FIELD",
    "AnswerSchema",
    "Checks",
    "Reading",
    "closed_fields",
    "default_max_tokens",
    "doubts_of",
    "normalise",
    "output_token_bound",
    "result_fields",
    "safe_text",
    "safe_value",
    "schema_mistakes",
    "typical_output_tokens",
]
