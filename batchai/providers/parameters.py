"""Which parameters a model takes, as far as it is known offline; `check` refuses the others.

Unknown models pass: the provider's own word comes then with the first request. Sources: the
providers' model pages and API references of autumn 2026.
"""

import re
from collections.abc import Iterator, Sequence

from batchai.errors import ProviderError
from batchai.providers.addresses import checked_base_url
from batchai.providers.registry import KEYLESS, check_provider, is_foreign
from batchai.spec.models import Model, Prompt

# Claude models up to here still take temperature and top_p (under an older API version) …
_CLAUDE_SAMPLING = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)")
# … and these know nothing of effort.
_CLAUDE_NO_EFFORT = re.compile(r"claude-(3|haiku-4|(sonnet-4(-[05])?|opus-4(-[01])?)(-\d{8})?$)")
_CLAUDE = re.compile(r"claude-(\d|[a-z]+-\d)")
_ALWAYS_REASONS = re.compile(
    r"(o\d|gpt-5(-(mini|nano|pro))?(-\d{4}.*)?$)"
)  # no temperature, no top_p
_MAY_REASON = re.compile(r"(gpt-5\.\d|gpt-[6-9])")  # none of them while effort is on
_NO_STOP = re.compile(r"(o[34]|gpt-[5-9])")
_NEVER_REASONS = re.compile(r"(gpt-4|gpt-3\.5|chatgpt-4)")
# What a model writes at most in one answer; the first that matches holds.
_MOST_TOKENS = {
    "openai": (
        (re.compile(r"gpt-3\.5"), 4_096),
        (re.compile(r"gpt-4o|gpt-5-chat"), 16_384),
        (re.compile(r"gpt-4\.1"), 32_768),
        (re.compile(r"o[134]"), 100_000),
        (re.compile(r"gpt-5-pro"), 272_000),
        (re.compile(r"gpt-[56]"), 128_000),
    ),
    "anthropic": (
        (re.compile(r"claude-3-(haiku|opus|sonnet)"), 4_096),
        (re.compile(r"claude-3-5"), 8_192),
        (re.compile(r"claude-opus-4(-[01])?(-\d{8})?$"), 32_000),
        (re.compile(r"claude-(haiku-4-5|sonnet-4(-[05])?|opus-4-5)(-\d{8})?$"), 64_000),
        (_CLAUDE, 128_000),
    ),
}
_CLAUDE_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_OPENAI_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# what batchai itself says in every request, and what would break its books
_OWN_FIELDS = {
    "model": "model.name",
    "messages": "prompt",
    "system": "prompt.system",
    "max_tokens": "model.max_tokens",
    "max_completion_tokens": "model.max_tokens",
    "response_format": "schema",
}
_UNSUPPORTED_FIELDS = {
    "stream": "a long answer is streamed by itself, and `batchai try --stream` shows one",
    "n": "one item has one answer",
    "tools": "tools are not available",
    "best_of": "one item has one answer",
}


def parameter_mistakes(model: Model) -> list[str]:
    """One line for each parameter that this model does not take, with the remedy; offline."""
    try:
        check_provider(model)
        if model.base_url is not None:
            checked_base_url(model.base_url)
    except ProviderError as error:
        return [str(error)]
    found = [*_common(model)]
    if not is_foreign(model):
        found += _length(model)
    if model.provider == "anthropic":
        found += _anthropic(model)
    elif not is_foreign(model) and model.provider == "openai":
        found += _openai(model)
    return found


def turn_mistakes(prompt: Prompt) -> list[str]:
    """What is wrong with the order of the turns: they begin and end with the user's."""
    roles: Sequence[str] = [m.role for m in prompt.messages] + (
        ["user"] if prompt.user is not None or prompt.turns is not None else []
    )
    if not roles:
        return ["prompt: there is nothing to ask; write prompt.user"]
    found = []
    if roles[0] != "user":
        found.append("prompt.messages: the first turn must be the user's")
    if roles[-1] != "user":
        found.append(
            "prompt.messages: the last turn is the assistant's, and current models refuse to "
            "continue it; add prompt.user"
        )
    return found


def _common(model: Model) -> Iterator[str]:
    yield from _keys(model)
    if any(not sequence for sequence in model.stop):
        yield "model.stop: an empty stop sequence would end every answer at once; remove it"
    for name in model.extra_body or {}:
        if name in _OWN_FIELDS:
            yield f"model.extra_body.{name}: is set by batchai; use {_OWN_FIELDS[name]}"
        elif name in _UNSUPPORTED_FIELDS:
            yield f"model.extra_body.{name}: {_UNSUPPORTED_FIELDS[name]}; remove it"
        elif name in ("temperature", "top_p", "stop", "metadata"):
            yield f"model.extra_body.{name}: write it as model.{name}"


def _length(model: Model) -> Iterator[str]:
    for pattern, most in _MOST_TOKENS.get(model.provider, ()):
        if pattern.match(model.id):
            if (model.max_tokens or 0) > most:
                yield (
                    f"model.max_tokens: {model.id} writes at most {most:,} tokens in one answer; "
                    f"write {most} or less"
                )
            return


def _keys(model: Model) -> Iterator[str]:
    if not is_foreign(model) or model.api_key_env == KEYLESS or model.provider == "local":
        return
    if model.api_key_env in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        yield (
            f"model.api_key_env: {model.api_key_env} would be shown to {model.base_url}; "
            "give that server's key a variable of its own"
        )
    elif model.api_key_env is None and str(model.base_url).startswith("https:"):
        yield (
            "model.api_key_env: another server needs its own key variable; name it, "
            "or write `api_key_env: none`"
        )


def _anthropic(model: Model) -> Iterator[str]:
    known = _CLAUDE.match(model.id)
    if model.temperature is not None and model.temperature > 1:
        yield "model.temperature: Anthropic takes 0 to 1"
    if model.temperature is not None or model.top_p is not None:
        if known and not _CLAUDE_SAMPLING.match(model.id):
            name = "temperature" if model.temperature is not None else "top_p"
            yield f"model.{name}: {model.id} takes neither temperature nor top_p; remove it"
        elif known and model.temperature is not None and model.top_p is not None:
            yield f"model.top_p: {model.id} takes temperature or top_p, not both; remove one"
    if model.effort is not None:
        yield from _effort(model, _CLAUDE_EFFORTS)
        if _CLAUDE_NO_EFFORT.match(model.id):
            yield f"model.effort: {model.id} does not take it; remove it"
    if model.metadata and model.metadata.keys() != {"user_id"}:
        yield "model.metadata: Anthropic takes user_id only; remove the other names"
    if any(not sequence.strip() for sequence in model.stop if sequence):
        yield "model.stop: Anthropic refuses stop sequences of white space only; remove them"


def _openai(model: Model) -> Iterator[str]:
    for name in ("temperature", "top_p"):
        value = getattr(model, name)
        if value is not None and value != 1 and (why := _sampling_refusal(model)):
            yield f"model.{name}: {why}; remove it"
    if model.stop and _NO_STOP.match(model.id):
        yield f"model.stop: {model.id} does not take stop sequences; remove them"
    if len(model.stop) > 4:
        yield "model.stop: OpenAI takes at most 4 stop sequences"
    if model.effort is not None:
        yield from _effort(model, _OPENAI_EFFORTS)
        if _NEVER_REASONS.match(model.id):
            yield f"model.effort: {model.id} does not reason; remove it"
    yield from _openai_metadata(model.metadata or {})


def _sampling_refusal(model: Model) -> str:
    if _ALWAYS_REASONS.match(model.id):
        return f"{model.id} always reasons and takes neither temperature nor top_p"
    if _MAY_REASON.match(model.id) and model.effort not in (None, "none"):
        return f"{model.id} takes neither temperature nor top_p with effort {model.effort}"
    return ""


def _openai_metadata(metadata: dict[str, str]) -> Iterator[str]:
    if len(metadata) > 16:
        yield "model.metadata: OpenAI takes at most 16 names"
    for name, value in metadata.items():
        if len(name) > 64 or len(value) > 512:
            yield f"model.metadata.{name[:64]}: OpenAI takes names to 64, values to 512 characters"


def _effort(model: Model, known: Sequence[str]) -> Iterator[str]:
    if model.effort not in known:
        yield f"model.effort: {model.effort!r} is none of {', '.join(known)}"
