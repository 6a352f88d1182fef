"""Jinja2's immutable sandbox without globals, imports and chance, with bounds for what it builds.

Bounded are the output, each operation that could build a huge text of a short template, and the
turns of loops and calls in one rendering, and by that its time.
"""

import difflib
import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from jinja2 import StrictUndefined, pass_context, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchai.templates.cutting import cut_within

MAX_OUTPUT_CHARS = 10_000_000
MAX_INTEGER_BITS = 10_000  # of a power
MAX_TURNS = 1_000_000  # of loops and calls in one rendering: a second or so
_CALL_TURNS = 10  # that a call counts for, since it takes longer (measured: 30 times as long)
COUNTED = "counted turns"  # a filter that no template can name

# of little use in a prompt, and by chance or of unbounded size
_REMOVED_FILTERS = ("random", "center", "batch", "slice", "wordwrap", "xmlattr", "urlize")
_UNSAFE_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "to_bytes"})
_WIDE_SPEC = re.compile(r"[0-9]{5,}|\{")
_WIDE_PERCENT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(?:\*|[0-9]{5,}|[0-9]*\.(?:\*|[0-9]{5,}))")


class Missing(StrictUndefined):
    """A field that is not there: any use of it is an error that names the nearest one."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if not isinstance(self._undefined_obj, Mapping):
            return super()._undefined_message
        names = [str(name) for name in self._undefined_obj]
        near = difflib.get_close_matches(str(self._undefined_name), names, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"there is no `{self._undefined_name}`{hint}"

    # also within a list or map, where Jinja2 would write the word Undefined
    __repr__ = StrictUndefined.__str__


class Sandbox(ImmutableSandboxedEnvironment):
    """`item.items` is the column named items: in a map only keys count, and no attributes."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=Missing, autoescape=False, keep_trailing_newline=True, finalize=_finalized
        )
        self.globals.clear()
        for name in _REMOVED_FILTERS:
            del self.filters[name]
        self.filters.update(
            chunks=_chunks,
            format=_format,
            indent=_indent,
            join=_join,
            replace=_replace,
            tojson=_tojson,
        )
        self.filters[COUNTED] = _counted

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) or isinstance(obj, Mapping):  # noqa: SIM101 - dict is told quickly
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                return self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _UNSAFE_METHODS and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_operation(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        _count_turns(context, _CALL_TURNS)  # macros that call each other twice are loops too
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | bytes):
            match obj.__name__, args:
                case "replace", (old, new, *_):
                    _check_replacement(owner, old, new)
                case "join", (parts,):
                    args = (_joinable(parts, owner),)
        return super().call(context, obj, *args, **kwargs)


def check_size(chars: int) -> None:
    """Raises SecurityError where a text of so many characters is too long."""
    if chars > MAX_OUTPUT_CHARS:
        raise SecurityError(f"the text grows beyond {MAX_OUTPUT_CHARS:,} characters")


@pass_context
def _counted(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        _count_turns(context)
        yield value


def _count_turns(context: Any, turns: int = 1) -> None:
    context.turns = taken = getattr(context, "turns", 0) + turns  # it lives for one rendering
    if taken > MAX_TURNS:
        raise SecurityError(
            f"it takes more than {MAX_TURNS:,} turns of loops and calls, of which a call is "
            f"{_CALL_TURNS}"
        )


def _finalized(value: Any) -> Any:
    """What `{{ value }}` writes; what would write a memory address is an error."""
    if isinstance(value, str | int | float | StrictUndefined):
        return value
    if value is None:
        return ""
    if isinstance(value, Iterator):
        raise TypeError("a sequence is not text yet: add |list or |join")
    if callable(value):
        raise TypeError("a function is not text: call it, as in item.text.upper()")
    return value


def _check_operation(operator: str, left: Any, right: Any) -> None:
    match operator, left, right:
        case "*", int(), Sized():
            check_size(left * len(right))
        case "*", Sized(), int():
            check_size(len(left) * right)
        case "**", int(), int() if left.bit_length() * right > MAX_INTEGER_BITS:
            raise SecurityError("the number is too large")
        case "%", str() | bytes(), _:
            _check_percent_format(str(left))


def _check_format(text: str) -> None:
    for _, _, spec, _ in string.Formatter().parse(text):
        if spec and _WIDE_SPEC.search(spec):
            raise SecurityError("a width in a format must be a small constant")


def _check_percent_format(text: str) -> None:
    if _WIDE_PERCENT.search(text):
        raise SecurityError("a width in a format must be a small constant")


def _check_replacement(text: Any, old: Any, new: Any) -> None:
    check_size(len(text) + text.count(old) * len(new))


def _joinable(parts: Iterable[Any], separator: str | bytes) -> list[Any]:
    parts = list(parts)
    check_size(len(parts) * len(separator))
    return parts


def _format(value: Any, *args: Any, **kwargs: Any) -> Any:
    _check_percent_format(str(value))
    return FILTERS["format"](value, *args, **kwargs)


def _chunks(value: Any, size: int, overlap: int = 0) -> list[str]:
    """A long text in pieces of up to `size` characters, each cut after a paragraph, a line, a
    sentence or a word where there is one in its second half; `overlap` characters come again."""
    text = str(value)
    if size < 1 or not 0 <= overlap <= size // 2:
        raise SecurityError("chunks takes a size above 0, and an overlap of up to half of it")
    pieces = []
    start = 0
    while len(text) - start > size:
        end = cut_within(text, start + size // 2, start + size)
        pieces.append(text[start:end])
        start = max(end - overlap, start + 1)
    return [*pieces, text[start:]] if text[start:] else pieces


def _indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    text = str(value)
    check_size((text.count("\n") + 1) * (width if isinstance(width, int) else len(width)))
    return FILTERS["indent"](text, width, first, blank)


@pass_eval_context
def _join(context: EvalContext, value: Any, d: Any = "", attribute: str | int | None = None) -> Any:
    return FILTERS["join"](context, _joinable(value, str(d)), d, attribute)


def _replace(value: Any, old: Any, new: Any, count: int = -1) -> str:
    text, old, new = str(value), str(old), str(new)
    _check_replacement(text, old, new)
    return text.replace(old, new, count)


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON as a person writes it: Jinja2's own escapes letters and quotes for HTML."""
    if indent is not None and indent > 16:
        raise SecurityError("tojson indents by up to 16")
    return json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
