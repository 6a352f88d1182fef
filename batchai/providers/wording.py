"""Foreign words made fit for our messages: one line, short, without keys, prompts or escapes."""

import re

import orjson

from batchai.schemas import safe_text

MAX_DETAIL_CHARS = 300
_ECHO_CHARS = 40  # a run of the request this long in a message is an echo; model names are shorter
_MAX_ECHO_BODY = 200_000  # bytes; larger requests are not searched, their messages are withheld
_KEYLIKE = re.compile(r"\b(?:sk-|gsk_|xai-|AIza)[\w*\-.]{6,}|\b[Bb]earer\s+\S+")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def one_line(text: str, *, key: str | None, limit: int = MAX_DETAIL_CHARS) -> str:
    """`text` on one line, at most `limit` characters, keys and control characters removed."""
    if key:
        text = text.replace(key, "[key]")
    text = _ESCAPES.sub("", _KEYLIKE.sub("[key]", text))
    text = " ".join(_UNSAFE.sub(" ", text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def without_echo(message: str, body: bytes) -> str:
    """`message` with every longer run that repeats the request replaced: prompts are private."""
    if len(body) > _MAX_ECHO_BODY:
        return (
            "(the provider's message is withheld: it might repeat the request)" if message else ""
        )
    sent = body.decode("utf-8", "replace")
    begin = safe_text(message)[: 2 * MAX_DETAIL_CHARS]
    words = orjson.dumps(begin)[1:-1].decode()  # escaped as the request is
    kept, start = [], 0
    while start < len(words):
        end = start + _ECHO_CHARS
        if end > len(words) or words[start:end] not in sent:
            kept.append(words[start])
            start += 1
            continue
        while end < len(words) and words[start : end + 1] in sent:
            end += 1
        kept.append("…")
        start = end
    return "".join(kept).replace('\\"', '"').replace("\\n", " ").replace("\\\\", "\\")
