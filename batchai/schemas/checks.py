"""Checks beyond the schema: expressions, and the user's own Python functions."""

import asyncio
import copy
import ctypes
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

from batchai.errors import SpecError, TemplateError
from batchai.spec.models import Check, Function, Holds
from batchai.templates import compile_expression

SECONDS = 10.0  # that a function may take
_SHOWN_CHARS = 200
_THREADS = 32  # that functions are waited for in

_Check = Callable[[Any, Mapping[str, Any]], str | None]
_T = TypeVar("_T")


class Checks:
    """What results must hold beside their schema; nothing, where there are no checks.

    Compiling runs the files of functions, so they must be trusted by then. Raises SpecError where
    one of them fails to load. seconds: that a function may take; one that takes longer is left.
    """

    def __init__(self, checks: Sequence[Check], *, seconds: float = SECONDS) -> None:
        self._checks = [_prepared(check, seconds) for check in checks]
        is_foreign = any(isinstance(check, Function) for check in checks)
        self._threads = ThreadPoolExecutor(_THREADS, "checks") if is_foreign else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._checks)

    @property
    def block(self) -> bool:
        """Whether they may take their time, so that they are to be run off the loop."""
        return self._threads is not None

    async def off_loop(self, judge: Callable[[], _T]) -> _T:
        """What `judge` gives, which asks for `problem`; several may be at it at the same time."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, judge)

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


def _prepared(check: Check, seconds: float) -> _Check:
    return _expression(check) if isinstance(check, Holds) else _function(check, seconds)


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


def _function(check: Function, seconds: float) -> _Check:
    function = _loaded(check)

    def said(result: Any, variables: Mapping[str, Any]) -> str | None:
        """It gets copies: what it does to them is not stored."""
        item = copy.deepcopy(dict(variables.get("item") or {}))
        try:
            verdict = function(copy.deepcopy(result), item)
        except Exception as error:  # noqa: BLE001 whatever it raises is its verdict
            return f"{check.name}: {type(error).__name__}: {error}"
        if verdict is None or verdict is True:
            return None
        if verdict is False:
            return f"the check {check.name} does not hold"
        if isinstance(verdict, str):
            return verdict or f"the check {check.name} does not hold"
        kind = type(verdict).__name__
        return f"{check.name} gave {kind}: it must give True, False, None or a text"

    def problem(result: Any, variables: Mapping[str, Any]) -> str | None:
        try:
            return _in_time(lambda: said(result, variables), seconds)
        except TimeoutError:
            return f"the check {check.name} took longer than {seconds:g} s"

    return problem


class _OutOfTimeError(BaseException):
    """Thrown into a function that takes too long; `except Exception` does not catch it."""


def _in_time(call: Callable[[], _T], seconds: float) -> _T:
    """What a call gives in a thread of its own; raises TimeoutError, and ends the thread as soon as
    it runs Python again."""
    found: list[_T] = []

    def run() -> None:
        try:
            found.append(call())
        except _OutOfTimeError:
            return

    thread = threading.Thread(target=run, name="check", daemon=True)
    thread.start()
    thread.join(seconds)
    if found:
        return found[0]
    if thread.ident is not None:
        out_of_time = ctypes.py_object(_OutOfTimeError)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), out_of_time)
    raise TimeoutError


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
