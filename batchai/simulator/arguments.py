"""The simulator's command line: `batchai simulator` and `python -m batchai.simulator`."""

import argparse

from batchai.simulator.faults import Fault, no_faults, seeded, shares_of
from batchai.simulator.settings import AccountLimits, Capacity, Latency, Neighbours, Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that a simulator can be told."""
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    _add_answers(parser.add_argument_group("answers"))
    _add_limits(parser.add_argument_group("the account: one for each key and protocol"))
    _add_faults(parser.add_argument_group("what goes wrong"))


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that were asked for. Raises SpecError for a fault or share that is none."""
    shares = shares_of(options.fault)
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
        require_key=options.require_key,
        retry_after_seconds=options.retry_after,
    )


def _add_answers(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="median (default 0)")
    add("--sigma", type=float, default=0.0, help="spread of the latency, lognormal (default 0)")
    add("--per-token", type=float, default=0.0, metavar="SECONDS", help="per output token")
    add("--fixed-answer", nargs="?", const="ok", metavar="TEXT", help="one reply to all, fast")
    add("--require-key", action="store_true", help="401 to requests without any key")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--rpm", type=int, metavar="N", help="requests per minute")
    add("--tpm", type=int, metavar="N", help="tokens per minute, input and output together")
    add("--itpm", type=int, metavar="N", help="input tokens per minute")
    add("--otpm", type=int, metavar="N", help="output tokens per minute")
    add("--window", type=float, default=60.0, metavar="SECONDS", help="of these limits (60)")
    add("--capacity", type=int, metavar="N", help="requests served at once")
    add("--beyond", choices=("slow", "overloaded"), default="slow", help="beyond the capacity")
    add("--neighbours", type=float, default=0.0, metavar="PER_SECOND", help="others' requests")
    add("--neighbour-tokens", type=int, default=0, metavar="N", help="tokens of each of them")


def _add_faults(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT=SHARE",
        help=f"such as server_error=2%%, or usual; one of {', '.join(Fault)}",
    )
    add("--retry-after", type=float, default=1.0, metavar="SECONDS", help="of rate_limited faults")
    add("--seed", type=int, default=0, help="of faults, latencies and neighbours")
