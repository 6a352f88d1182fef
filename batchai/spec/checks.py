"""`checks:` of a step: expressions, and Python functions `file.py:function`."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from batchai.spec.document import MAX_BYTES, Node, Scalar, wrong
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.models import Check, Function, Holds
from batchai.spec.paths import FilePath, is_inside
from batchai.spec.sections import Field, ListOf, nearest
from batchai.spec.texts import Expression
from batchai.templates import variables_used

_FUNCTION = re.compile(r"(?P<file>\S+\.py):(?P<function>\S*)")
_ROOTS = frozenset({"result", "item", "vars", "steps"})
_ROOTS_OF_A_REDUCTION = frozenset({"result", "vars"})


@dataclass(frozen=True, slots=True)
class OfResult:
    """An expression over a result, and the item that it is of."""

    def read(self, node: Node, reader: Reader) -> str:
        is_of_items = "item" in reader.roots_of_texts
        return Expression(_ROOTS if is_of_items else _ROOTS_OF_A_REDUCTION).read(node, reader)

    def schema(self) -> JsonSchema:
        return Expression().schema()


@dataclass(frozen=True, slots=True)
class CheckKind:
    """What a result must hold. A function's file is read, and not run."""

    def read(self, node: Node, reader: Reader) -> Check:
        found = _FUNCTION.fullmatch(node.text) if isinstance(node, Scalar) else None
        if found is None:
            return Holds(expression=OfResult().read(node, reader))
        return _function(node, found["file"], found["function"], reader)

    def schema(self) -> JsonSchema:
        return Expression().schema()


CHECKS = Field(
    ListOf(CheckKind(), lone=True),
    "What a result must hold: result.total > 0, or a function of yours: checks.py:total.",
)


def unknown_fields(expression: str, known: list[str]) -> Iterator[str]:
    """What is wrong with the result's fields that an expression names."""
    used = variables_used("{{ " + expression + " }}").get("result", set())
    for name in sorted(used - set(known)):
        yield f"result.{name} is no field of the result; {nearest(name, known)}"


def _function(node: Node, file: str, name: str, reader: Reader) -> Function:
    assert isinstance(node, Scalar)
    path = FilePath().read(Scalar(node.place, file, node.is_plain), reader)
    if not is_inside(path, [node.place.base.resolve()]):
        raise wrong(node, f"{path} lies outside the job's folder: copy it there")
    try:
        source = path.read_bytes()
        tree = ast.parse(source)
    except OSError as error:
        raise wrong(node, f"{path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        raise wrong(node, f"{path.name}{line} is not Python: {error.args[0]}") from error
    if len(source) > MAX_BYTES:
        raise wrong(node, f"{path} is larger than 1 MiB")
    functions = [one.name for one in tree.body if isinstance(one, ast.FunctionDef)]
    if name not in functions:
        raise wrong(node, f"{file} has no function {name}; "
                    f"{nearest(name, functions)}")  # fmt: skip
    return Function(name=node.text, path=path, source=source)
