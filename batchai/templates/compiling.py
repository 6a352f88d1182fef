"""Templates and expressions of a job file → functions of an item.

Templates come from the job file; data is only ever a value in them and is never compiled.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2 import TemplateError as JinjaError

from batchai.errors import TemplateError
from batchai.templates.sandbox import COUNTED, Sandbox, check_size

_SANDBOX = Sandbox()

# what compiling raises beside its own errors: nesting too deep, a constant that cannot be
_TOO_COMPLEX = (RecursionError, MemoryError, ValueError, OverflowError)
# what evaluating a wrong template raises; MemoryError for what slips through the bounds
_FAULTS = (
    JinjaError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
)
_LOADING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


def compile_template(source: str, *, place: str) -> Callable[[Mapping[str, Any]], str]:
    """A function from variables (`item`, `steps`, `vars`) to text; raises TemplateError.

    `place` names where the template stands (`jobs/a.yaml:7: prompt.user`) for messages. None is
    rendered as nothing; what is missing is an error.
    """
    template = _compile(source, place)

    def render(variables: Mapping[str, Any]) -> str:
        try:
            return _bounded(template, variables)
        except _FAULTS as error:
            raise TemplateError(f"{place}: {_reason(error)}") from error

    return render


def compile_expression(source: str, *, place: str) -> Callable[[Mapping[str, Any]], Any]:
    """A function from variables to an expression's value (`item.plan != "free"`).

    Both compiling and evaluating raise TemplateError.
    """
    try:
        expression = _SANDBOX.compile_expression(source, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{place}: {error.message} in `{source}`") from error
    except _TOO_COMPLEX as error:
        raise TemplateError(f"{place}: is too complex: {_reason(error)}") from error

    def evaluate(variables: Mapping[str, Any]) -> Any:
        try:
            value = expression(variables)
            if isinstance(value, StrictUndefined):
                str(value)  # raises, with the name of what is missing
        except _FAULTS as error:
            raise TemplateError(f"{place}: {_reason(error)}") from error
        return value

    return evaluate


def variables_used(source: str) -> dict[str, set[str]]:
    """Root names of a template → the constant fields that it takes of them (`{"item": {"text"}}`).

    Raises TemplateError where the template does not parse.
    """
    tree = _parse(source, "the template")
    used: dict[str, set[str]] = {name: set() for name in meta.find_undeclared_variables(tree)}
    for root, field in _constant_fields(tree):
        if root in used:
            used[root].add(field)
    return used


def constant_beginning(source: str, constants: frozenset[str]) -> str:
    """The longest beginning of a template, as a template, that uses no other roots than these.

    Blocks and comments end it. Raises TemplateError where the template does not parse.
    """
    _parse(source, "the template")
    whole: list[str] = []
    expression: list[str] = []
    for _, kind, text in _SANDBOX.lex(source):
        if kind == "data":
            whole.append(text)
        elif kind == "variable_begin" or expression:
            expression.append(text)
            if kind == "variable_end":
                piece = "".join(expression)
                if not variables_used(piece).keys() <= constants:
                    break
                whole.append(piece)
                expression.clear()
        else:
            break
    return "".join(whole)


def is_used_whole(source: str, root: str) -> bool:
    """Whether a template takes fields of `root` that it does not name: `vars[item.kind]`."""
    tree = _parse(source, "the template")
    uses = sum(name.name == root for name in tree.find_all(nodes.Name))
    return uses > sum(name == root for name, _ in _constant_fields(tree))


def nested_fields_used(source: str, root: str) -> set[tuple[str, str]]:
    """Pairs of constant fields that a template takes: `steps.a.b` gives ("a", "b") for `steps`."""
    found = set()
    for inner, field in _named(_parse(source, "the template")):
        for outer, name in _named_of(inner):
            if isinstance(outer, nodes.Name) and outer.name == root:
                found.add((name, field))
    return found


def is_name(text: str) -> bool:
    """Whether a template can say it without quotes: ASCII letters, digits and _."""
    return text.isascii() and text.isidentifier() and not text.startswith("_")


def _named(tree: nodes.Node) -> Iterator[tuple[nodes.Node, str]]:
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        yield from _named_of(node)


def _named_of(node: nodes.Node) -> Iterator[tuple[nodes.Node, str]]:
    """What a constant field is taken of, and the field."""
    if isinstance(node, nodes.Getattr):
        yield node.node, node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        yield node.node, str(node.arg.value)


def _constant_fields(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    for node, field in _named(tree):
        if isinstance(node, nodes.Name):
            yield node.name, field


def _compile(source: str, place: str) -> Template:
    tree = _parse(source, place)
    for node in tree.find_all(_LOADING):
        what = type(node).__name__.lower()
        raise TemplateError(
            f"{place}, line {node.lineno} of the template: {what} is not available: write it out"
        )
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, COUNTED, [], [], None, None, lineno=loop.lineno)
        loop.iter.set_environment(_SANDBOX)
    try:
        template = _SANDBOX.from_string(tree)
    except TemplateSyntaxError as error:
        raise _syntax_error(error, place) from error
    except _TOO_COMPLEX as error:
        raise TemplateError(f"{place}: is too complex: {_reason(error)}") from error
    template.globals = {}  # the sandbox has none; a chain of nothing would be merged each time
    return template


def _parse(source: str, place: str) -> nodes.Template:
    try:
        return _SANDBOX.parse(source)
    except TemplateSyntaxError as error:
        raise _syntax_error(error, place) from error
    except _TOO_COMPLEX as error:
        raise TemplateError(f"{place}: is too complex: {_reason(error)}") from error


def _syntax_error(error: TemplateSyntaxError, place: str) -> TemplateError:
    return TemplateError(f"{place}, line {error.lineno} of the template: {error.message}")


def _bounded(template: Template, variables: Mapping[str, Any]) -> str:
    parts, size = [], 0
    context = template.new_context(variables, shared=True)  # type: ignore[arg-type]
    for part in template.root_render_func(context):
        size += len(part)
        check_size(size)
        parts.append(part)
    return "".join(parts)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
