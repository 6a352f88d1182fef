"""The one sandbox: prompts, `where`, `if` and checks are compiled and evaluated here.

Templates come from the job file; data is only ever a value in them and is never compiled. The
sandbox is Jinja2's immutable one without globals and with an upper bound for the output.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError as JinjaError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchai.errors import TemplateError

MAX_OUTPUT_CHARS = 10_000_000


class _Environment(ImmutableSandboxedEnvironment):
    """`item.items` is the column named items: keys before attributes."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            try:
                return obj[attribute]
            except KeyError:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals.clear()
    return environment


_ENVIRONMENT = _environment()


def compile_template(source: str, *, place: str) -> Callable[[Mapping[str, Any]], str]:
    """A function from variables (`item`, `steps`, `vars`) to text; raises TemplateError.

    `place` names where the template stands (`jobs/a.yaml:7: prompt.user`) for messages.
    """
    template = _compile(source, place)

    def render(variables: Mapping[str, Any]) -> str:
        try:
            parts, size = [], 0
            for part in template.root_render_func(template.new_context(variables)):  # type: ignore[arg-type]
                size += len(part)
                if size > MAX_OUTPUT_CHARS:
                    raise TemplateError(f"{place}: the text grows beyond {MAX_OUTPUT_CHARS:,} characters")
                parts.append(part)
        except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise TemplateError(f"{place}: {_reason(error)}") from error
        return "".join(parts)

    return render


def compile_expression(source: str, *, place: str) -> Callable[[Mapping[str, Any]], Any]:
    """A function from variables to the expression's value (`item.plan != "free"`)."""
    try:
        expression = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{place}: {error.message} in `{source}`") from error

    def evaluate(variables: Mapping[str, Any]) -> Any:
        try:
            value = expression(**variables)
            if isinstance(value, StrictUndefined):
                str(value)
        except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise TemplateError(f"{place}: {_reason(error)}") from error
        return value

    return evaluate


def variables_used(source: str) -> dict[str, set[str]]:
    """Root names of a template → the constant fields that it takes of them (`{"item": {"text"}}`)."""
    from jinja2 import nodes

    used: dict[str, set[str]] = {}
    tree = _ENVIRONMENT.parse(source)
    for name in meta.find_undeclared_variables(tree):
        used[name] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if not isinstance(node.node, nodes.Name) or node.node.name not in used:
            continue
        if isinstance(node, nodes.Getattr):
            used[node.node.name].add(node.attr)
        elif isinstance(node.arg, nodes.Const):
            used[node.node.name].add(str(node.arg.value))
    return used


def _compile(source: str, place: str) -> Template:
    try:
        return _ENVIRONMENT.from_string(source)
    except TemplateSyntaxError as error:
        raise TemplateError(f"{place}, line {error.lineno} of the template: {error.message}") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
