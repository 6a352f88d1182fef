"""`python -m batchai.simulator`: a simulator of its own process; its first line is its URL."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from batchai.simulator.faults import Fault, no_faults, seeded
from batchai.simulator.server import Simulator
from batchai.simulator.settings import AccountLimits, Capacity, Latency, Neighbours, Settings


def settings_from(arguments: Sequence[str]) -> Settings:
    """The settings that a command line asks for; SystemExit 2 when it cannot be read."""
    options = _parser().parse_args(arguments)
    shares = dict(options.fault)
    window = options.window
    limits = AccountLimits(options.rpm, options.tpm, options.itpm, options.otpm, window)
    neighbours = Neighbours(options.neighbours, options.neighbour_tokens, options.seed)
    return Settings(
        port=options.port,
        latency=Latency(options.latency, options.sigma, options.per_token, options.seed),
        limits=None if limits == AccountLimits(window_seconds=window) else limits,
        neighbours=neighbours if options.neighbours else None,
        capacity=Capacity(options.capacity, options.beyond) if options.capacity else None,
        faults=seeded(options.seed, shares) if shares else no_faults,
        fixed_answer=options.fixed_answer,
        retry_after_seconds=options.retry_after,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m batchai.simulator", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=0, help="0: any free port")
    add("--latency", type=float, default=0.0, metavar="SECONDS")
    add("--sigma", type=float, default=0.0, help="spread of the latency (lognormal)")
    add("--per-token", type=float, default=0.0, metavar="SECONDS", help="per output token")
    add("--rpm", type=int, help="requests per window")
    add("--tpm", type=int, help="tokens per window")
    add("--itpm", type=int, help="input tokens per window")
    add("--otpm", type=int, help="output tokens per window")
    add("--window", type=float, default=60.0, metavar="SECONDS")
    add("--neighbours", type=float, default=0.0, metavar="PER_SECOND", help="others' requests")
    add("--neighbour-tokens", type=int, default=0, metavar="TOKENS", help="of each of them")
    add("--capacity", type=int, help="requests served at once")
    add("--beyond", choices=("slow", "overloaded"), default="slow", help="beyond the capacity")
    add("--fault", type=_share, action="append", default=[], metavar="FAULT=SHARE")
    add("--retry-after", type=float, default=1.0, metavar="SECONDS", help="of rate_limited faults")
    add("--seed", type=int, default=0)
    add("--fixed-answer", nargs="?", const="ok", metavar="TEXT", help="one reply to all, fast")
    return parser


def _share(text: str) -> tuple[Fault, float]:
    name, _, share = text.partition("=")
    try:
        return Fault(name), float(share)
    except ValueError:
        names = ", ".join(Fault)
        raise argparse.ArgumentTypeError(
            f"{text}: give FAULT=SHARE, FAULT one of {names}"
        ) from None


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
