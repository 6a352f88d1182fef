"""The command line: parse → one operation → print → exit code."""

import os
import sys

from batchai.cli.parser import build_parser
from batchai.errors import BatchaiError, StoreBusyError, StoreError, UnwritableError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = build_parser().parse_args(arguments)
    from batchai.cli.commands import COMMANDS

    try:
        return COMMANDS[options.command](options)
    except BatchaiError as error:
        print(error, file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        print(
            "Memory ran out: give the process more, and type the same again; what was recorded is "
            "kept",
            file=sys.stderr,
        )
        return 3
    except BrokenPipeError:  # `batchai report | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _exit_code(error: BatchaiError) -> int:
    match error:
        case StoreBusyError():
            return 5
        case StoreError() | UnwritableError():
            return 4
        case _:
            return 2
