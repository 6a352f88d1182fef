"""The command to type next, with the options without which it would be another job's."""

import argparse
import shlex
from collections.abc import Sequence

Changes = Sequence[tuple[str, str]]  # options that were typed, and their values


def changes_of(options: argparse.Namespace) -> Changes:
    """The options that make it another job than the file's, as they were typed."""
    given = [("--model", options.model), ("--base-url", options.base_url)]
    given += [("--var", text) for text in options.var] + [("--set", text) for text in options.set]
    given += [("--allow-path", path) for path in options.allow_path]
    given += [("--limit", options.limit), ("--budget", options.budget)]
    return [(option, str(value)) for option, value in given if value is not None]


def following(command: str, name: str, changes: Changes) -> str:
    """The command, with the same changes where it sends; what it gives itself stays.

    name: JOB as typed; the command has it quoted.
    """
    for verb in ("run", "try"):
        sending = f"batchai {verb} {shlex.quote(name)}"
        if command.startswith(sending):
            own = command.removeprefix(sending)
            added = (f" {o} {shlex.quote(text)}" for o, text in changes if f" {o} " not in own)
            return f"{sending}{''.join(added)}{own}"
    return command
