"""Checks beyond the schema: expressions, and the user's own Python functions."""

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from batchai.errors import SpecError, TemplateError
from batchai.spec.models import Check, Function, Holds
from batchai.templates import compile_expression

_SHOWN_CHARS = 200

_Check = Callable[[Any, Mapping[str, Any]], str | None]


class Checks:
    """What results must hold beside their schema; nothing, where there are no checks.

    Compiling runs the files of functions, so they must be trusted by then. Raises SpecError where
    one of them fails to load.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self._checks = [_prepared(check) for check in checks]

    def __bool__(self) -> bool:
        return bool(self._checks)

    def problem(self, result: Any, variables: Mapping[str, Any]) -> str | None:
        """Why a result is none, in one line for a person and as feedback for the model.

        variables: `item`, `vars` and `steps`, as far as there are any.
        """
        for check in self._checks:
            if (found := check(result, variables)) is not None:
                words = " ".join(found.split())
                return words if len(words) <= _SHOWN_CHARS else words[: _SHOWN_CHARS - 1] + "…"
        return None


def doubts_of(condition: str) -> Callable[[Any, Mapping[str, Any]], bool]:
    """Whether a result is in doubt; one of which that cannot be told is."""
    evaluate = compile_expression(condition, place="escalate.if")

    def doubts(result: Any, variables: Mapping[str, Any]) -> bool:
        try:
            return bool(evaluate({**variables, "result": result}))
        except TemplateError:
            return True

    return doubts


def _prepared(check: Check) -> _Check:
    return _expression(check) if isinstance(check, Holds) else _function(check)


def _expression(check: Holds) -> _Check:
    shown = f"the check `{check.expression}`"
    evaluate = compile_expression(check.expression, place=shown)

    def problem(result: Any, variables: Mapping[str, Any]) -> str | None:
        try:
            holds = evaluate({**variables, "result": result})
        except TemplateError as error:
            return str(error)
        return None if holds else f"{shown} does not hold"

    return problem


def _function(check: Function) -> _Check:
    function = _loaded(check)

    def problem(result: Any, variables: Mapping[str, Any]) -> str | None:
        """It gets copies: what it does to them is not stored."""
        item = copy.deepcopy(dict(variables.get("item") or {}))
        try:
            said = function(copy.deepcopy(result), item)
        except Exception as error:  # noqa: BLE001 whatever it raises is its verdict
            return f"{check.name}: {type(error).__name__}: {error}"
        if said is None or said is True:
            return None
        if said is False:
            return f"the check {check.name} does not hold"
        if isinstance(said, str):
            return said or f"the check {check.name} does not hold"
        return f"{check.name} gave {type(said).__name__}: it must give True, False, None or a text"

    return problem


def _loaded(check: Function) -> Callable[[Any, Any], Any]:
    """The function, out of just the bytes that the job was loaded with."""
    name = f"batchai_checks_{check.digest[:16]}"
    module = sys.modules.get(name)
    if module is None:
        module = ModuleType(name)
        module.__file__ = str(check.path)
        sys.modules[name] = module  # a dataclass looks for its module there
        try:
            exec(compile(check.source, str(check.path), "exec", dont_inherit=True), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            raise SpecError(
                f"{check.path.name}: cannot be loaded: {type(error).__name__}: {error}"
            ) from error
    function = getattr(module, check.function, None)
    if not callable(function):
        raise SpecError(f"{check.path.name}: has no function {check.function}")
    return function  # type: ignore[no-any-return]
