"""Item → the text of a request, and its fingerprint."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from batchai.documents import Attacher
from batchai.domain import Attachment, Message
from batchai.errors import SourceError, TemplateError
from batchai.spec.models import Prompt, Step
from batchai.spec.texts import prompt_texts
from batchai.templates import (
    compile_expression,
    compile_template,
    constant_beginning,
    variables_used,
)

FINGERPRINT_BYTES = 16
_MARK_BYTES = 8  # after them: which prompts made it
_KEPT = b"kept".ljust(_MARK_BYTES, b"-")  # in its place: none of today's

_CONSTANTS = frozenset({"vars"})  # the same for all items
_RENDERING = 1  # change it with the text that equal templates and items are rendered to

_Render = Callable[[Mapping[str, Any]], str]
_Script = Callable[[Mapping[str, Any]], list[str]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text of one request: system prompt and turns, the last by the user."""

    system: str | None
    messages: tuple[Message, ...]

    @property
    def chars(self) -> int:
        """Length of all text, in characters."""
        return len(self.system or "") + sum(len(message.content) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Prefix:
    """What every request of a step begins with.

    parts: texts that are wholly the same: the system prompt, where there is one, and turns.
    chars: of the text after them. text: all of it.
    """

    parts: int
    chars: int
    text: str


class Prompts:
    """The templates of one step, compiled once.

    identity: whatever else makes the request what it is (model, parameters, schema); it goes into
    every fingerprint. place: of the prompt in the job file, for messages. attacher: opens what
    it attaches. shape: whatever else decides which requests are made (`if`, `foreach`).
    """

    def __init__(
        self,
        prompt: Prompt,
        *,
        variables: Mapping[str, Any],
        identity: Any,
        place: str,
        attacher: Attacher | None = None,
        shape: Any = None,
    ) -> None:
        self._variables = dict(variables)
        self._place = place
        texts = [prompt.system, *(turn.content for turn in prompt.messages)]
        if not prompt.attachments:  # what is attached comes before the user's text
            texts.append(prompt.user)
        self._sources = [source for source in texts if source is not None]
        self._script = _script(prompt.turns, f"{place}.turns")
        self._system = _compile(prompt.system, f"{place}.system")
        self._turns: list[tuple[str, _Render]] = []
        for number, turn in enumerate(prompt.messages):
            render = _compile(turn.content, f"{place}.messages[{number}]")
            assert render is not None
            self._turns.append((turn.role, render))
        user = _compile(prompt.user, f"{place}.user")
        if user is not None:
            self._turns.append(("user", user))
        self._attacher = attacher
        self._attachments = [
            compile_template(source, place=f"{place}.attachments[{number}]")
            for number, source in enumerate(prompt.attachments)
        ]
        self._prefix = hashlib.sha256(_canonical(identity))
        whole = repr((_RENDERING, identity, prompt, self._variables, shape))
        self.mark = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).digest()[:_MARK_BYTES]

    def render(self, fields: Mapping[str, Any]) -> Rendered:
        """The request's text and files for one item; raises TemplateError."""
        return self.fill(self.variables(fields, {}))

    def variables(self, fields: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
        """What templates speak of: an item's fields, and the results of earlier steps."""
        return {"item": fields, "vars": self._variables, "steps": results}

    def turns(self, variables: Mapping[str, Any]) -> tuple[Rendered, ...]:
        """A conversation's requests without what was answered; raises TemplateError.

        What is attached goes with the first turn.
        """
        assert self._script is not None
        start = self.fill(variables)
        said = [Message("user", text) for text in self._script(variables)]
        if self._attachments:
            said[0] = self._with_files(said[0], variables)
        return tuple(Rendered(start.system, (*start.messages, message)) for message in said)

    def fill(self, variables: Mapping[str, Any]) -> Rendered:
        """The request's text and files from variables; raises TemplateError."""
        system = None if self._system is None else self._system(variables)
        turns = tuple(Message(role, render(variables)) for role, render in self._turns)
        if self._attachments and self._script is None:
            turns = (*turns[:-1], self._with_files(turns[-1], variables))
        return Rendered(system, turns)

    def shared_prefix(self) -> Prefix:
        """What all requests begin with, whatever the item."""
        parts, whole, rest = 0, "", ""
        for source in self._sources:
            try:
                begin = source if _is_plain(source) else constant_beginning(source, _CONSTANTS)
                render = _compile(begin, self._place)
                text = render({"vars": self._variables}) if render else ""
            except TemplateError:  # a variable that is missing: items will tell
                break
            if begin != source:
                rest = text.rstrip()  # a `{%-` of what follows may strip white space
                break
            whole += text
            parts += bool(text)  # an empty one is not sent
        return Prefix(parts, len(rest), whole + rest)

    def fingerprint(self, rendered: Rendered) -> bytes:
        """Hash of everything that decides the answer, and a mark of these prompts.

        Compare with `is_same_request`: other prompts may make the same request.
        """
        pieces = [_piece("system", rendered.system or "")]
        for message in rendered.messages:
            pieces.append(_piece(message.role, message.content))
            pieces += [b"\0file" + file.digest for file in message.attachments]
        digest = self._prefix.copy()
        digest.update(b"".join(pieces))
        return digest.digest()[:FINGERPRINT_BYTES] + self.mark

    def have_made(self, fingerprint: bytes | None) -> bool:
        """Whether it is from just these prompts, so that an equal row makes an equal request.

        Never with attachments: a file may have changed under the same path.
        """
        if fingerprint is None or self._attachments:
            return False
        return fingerprint[FINGERPRINT_BYTES:] == self.mark

    def _with_files(self, turn: Message, variables: Mapping[str, Any]) -> Message:
        """The user's turn with what is attached: files beside it, documents' text before it."""
        assert self._attacher is not None
        texts: list[str] = []
        files: list[Attachment] = []
        try:
            for name in _names(render(variables) for render in self._attachments):
                attached = self._attacher.attach(name)
                if isinstance(attached, str):
                    texts.append(attached)
                else:
                    files.append(attached)
        except SourceError as error:
            raise TemplateError(f"{self._place}.attachments: {error}") from error
        if problem := self._attacher.problem(tuple(files)):
            raise TemplateError(f"{self._place}.attachments: {problem}")
        return Message(turn.role, "\n\n".join((*texts, turn.content)), tuple(files))


def kept(fingerprint: bytes) -> bytes:
    """A fingerprint for a result of an earlier spec that stays for the same item's request."""
    return fingerprint[:FINGERPRINT_BYTES] + _KEPT


def is_kept(fingerprint: bytes | None) -> bool:
    """Whether the result is of an earlier spec, and stays since the user said so."""
    return fingerprint is not None and fingerprint[FINGERPRINT_BYTES:] == _KEPT


def is_same_request(one: bytes | None, other: bytes | None) -> bool:
    """Whether two fingerprints are of the same request, whichever prompts made it."""
    if one is None or other is None:
        return one is other
    return one[:FINGERPRINT_BYTES] == other[:FINGERPRINT_BYTES]


def _names(texts: Iterable[str]) -> Iterator[str]:
    """One path a line; empty ones, as of a column without a value, are none."""
    for text in texts:
        yield from filter(None, map(str.strip, text.splitlines()))


def _canonical(identity: Any) -> bytes:
    try:
        return orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a bound in the schema beyond 64 bits, a lone surrogate
        return json.dumps(identity, sort_keys=True, separators=(",", ":")).encode()


def _piece(role: str, content: str) -> bytes:
    text = content.encode("utf-8", "surrogatepass")
    return b"\0%b\0%d\0%b" % (role.encode(), len(text), text)


def fields_used(step: Step) -> dict[str, set[str]]:
    """The item's fields that a step names plainly, by where: `prompt`, `if`, `foreach`,
    `reduce.by`."""
    return {
        place: set().union(*(variables_used(source).get("item", set()) for source in sources))
        for place, sources in _texts_of(step).items()
    }


def needs_results(step: Step) -> bool:
    """Whether what it asks cannot be told without the results of earlier steps."""
    texts = (text for sources in _texts_of(step).values() for text in sources)
    return step.reduction is not None or any("steps" in variables_used(text) for text in texts)


def _texts_of(step: Step) -> dict[str, list[str]]:
    """Its templates and, as such, its expressions, by where they stand."""
    expressions = {
        "if": step.condition,
        "foreach": step.foreach,
        "reduce.by": step.reduction and step.reduction.by,
    }
    texts = {place: [f"{{{{ {text} }}}}"] for place, text in expressions.items() if text}
    return {"prompt": prompt_texts(step.prompt), **texts}


def _script(turns: tuple[str, ...] | str | None, place: str) -> _Script | None:
    """What gives a conversation's turns: templates, or an expression over item and results."""
    if turns is None:
        return None
    if isinstance(turns, str):
        evaluate = compile_expression(turns, place=place)
        return lambda variables: _texts(evaluate(variables), place)
    renders = [_compile(turn, f"{place}[{number}]") for number, turn in enumerate(turns)]
    return lambda variables: [render(variables) for render in renders if render is not None]


def _texts(value: Any, place: str) -> list[str]:
    """The turns that an expression gave: a list, also as JSON text in a column of a CSV file."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = None
    if not isinstance(value, list) or not value or not all(isinstance(t, str) for t in value):
        raise TemplateError(f"{place}: must give a list of texts, or one as JSON text")
    return value


def _compile(source: str | None, place: str) -> _Render | None:
    if source is None:
        return None
    if _is_plain(source):
        return lambda _variables: source
    return compile_template(source, place=place)


def _is_plain(source: str) -> bool:
    return not any(mark in source for mark in ("{{", "{%", "{#"))
