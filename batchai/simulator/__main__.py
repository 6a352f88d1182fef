"""`python -m batchai.simulator`: a simulator of its own process; its first line is its URL."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from batchai.errors import SpecError
from batchai.simulator.arguments import add_arguments, settings_of
from batchai.simulator.server import Simulator
from batchai.simulator.settings import Settings


def settings_from(arguments: Sequence[str]) -> Settings:
    """The settings that a command line asks for; SystemExit 2 when it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m batchai.simulator", description=__doc__)
    add_arguments(parser)
    try:
        return settings_of(parser.parse_args(arguments))
    except SpecError as error:
        parser.error(str(error))


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Simulator(settings_from(sys.argv[1:])) as simulator:
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
