"""The child process of `local/…` models: llama.cpp's own HTTP server on the loopback.

The parent (local.py) writes one line of JSON to stdin (a `Recipe`) and reads one from stdout
(`{"address": "http://127.0.0.1:PORT"}`). Then stdin stays open and says nothing: its end is the
order to leave, whether the parent closed it or died.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import Any, TextIO

LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ERRORS_ONLY = 1  # llama.cpp's verbosity


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the parent orders. parent: its process id. context_tokens: for each of the slots."""

    parent: int
    model_path: str
    model_name: str
    api_key: str
    slots: int
    context_tokens: int


def main() -> None:
    """Serve until stdin ends; exit 1, the reason on stderr, where the model cannot be loaded."""
    _outlive_signals()
    answers = _private_stdout()
    recipe = Recipe(**json.loads(sys.stdin.readline()))
    _die_with(recipe.parent)
    watcher = threading.Thread(target=_leave_at_end_of_input, name="stdin")
    watcher.start()
    try:
        server = _serve(recipe)
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    answers.write(json.dumps({"address": server.listening_address}) + "\n")
    answers.flush()
    watcher.join()


def _outlive_signals() -> None:
    """Ctrl-C, and SIGTERM to a whole group, are the parent's to answer: it drains first."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _private_stdout() -> TextIO:
    """The parent's pipe, with descriptor 1 turned to stderr: the C++ side may write there."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def _die_with(parent: int) -> None:
    """On Linux the kernel ends this process with its parent, even while a model is loaded."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _leave_at_end_of_input() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)  # nothing to save, and the server's threads would hold an orderly exit


def _serve(recipe: Recipe) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = recipe.model_path
    parameters.model_alias = {recipe.model_name}
    parameters.hostnames = [LOOPBACK]
    parameters.port = 0
    parameters.api_keys = [recipe.api_key]
    parameters.n_parallel = recipe.slots
    parameters.n_ctx = recipe.context_tokens * recipe.slots
    parameters.cache_ram_mib = 0  # its default keeps up to 8 GiB of old prompts
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.verbosity = _ERRORS_ONLY
    return xllamacpp.Server(parameters)


if __name__ == "__main__":
    main()
