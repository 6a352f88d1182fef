"""From how many tokens on a provider caches the beginning of a prompt.

Sources: the providers' pages on prompt caching, autumn 2026.
"""

import re

from batchai.providers.registry import is_foreign
from batchai.spec.models import Model

_ANTHROPIC = (
    (re.compile(r"claude-(opus|fable|mythos)-[5-9]"), 512),
    (re.compile(r"claude-(haiku-4|opus-4-[56])"), 4096),
    (re.compile(r"claude-(3-5-haiku|3-haiku|sonnet-4-6)"), 2048),
)
_USUAL = 1024


def least_cached_tokens(model: Model, *, is_asked_for: bool) -> int | None:
    """The shortest prefix that the provider caches, in tokens; None where it is not to be asked.

    is_asked_for: by the job itself. Else a server that only speaks OpenAI's protocol is not sent a
    field that it may not know.
    """
    if model.provider == "anthropic":
        return next((least for name, least in _ANTHROPIC if name.match(model.id)), _USUAL)
    if model.provider == "openai" and (is_asked_for or not is_foreign(model)):
        return _USUAL
    return None
