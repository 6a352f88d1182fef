"""What can be typed: commands, options, and their help with examples."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from batchai import __version__

_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"

_EPILOG = """\
A first minute, without any account:
  batchai demo                            a job is killed and resumed before your eyes
  batchai run jobs/quickstart.yaml        (fetches a small local model once)

A job of your own:
  batchai init feedback data/feedback.csv   write feedback.yaml from a data file
  batchai try feedback                      send three items, look at the answers
  batchai run feedback --budget 2           run all; Ctrl-C and the same again goes on
  batchai report feedback                   what came out and what it cost

JOB is the path of a job file, or a name found here or in jobs/.
Exit codes: 0 finished · 1 finished with failed items · 2 wrong job or usage, nothing spent ·
3 stopped, resumable · 4 disk or store · 5 another run holds the job · 130/143 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """A command's parser; `late` adds arguments whose import only this command is to pay for."""

    late: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does."""
        if self.late is not None:
            self.late(self)
        return super().parse_known_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="batchai",
        description="Resumable batch processing for LLM APIs: one valid result per item.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"batchai {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for add in _COMMANDS:
        add(commands)
    return parser


def _add_init(commands: _Commands) -> None:
    init = _command(
        commands,
        "init",
        "write a commented job file, inferred from a data file if one is given",
        "batchai init feedback data/feedback.csv",
        "batchai init summaries data/articles.jsonl --template summarise",
    )
    init.add_argument("name", nargs="?", help="name of the job (default: the data file's)")
    init.add_argument("data", nargs="?", type=Path, help="a data file or a folder of documents")
    init.add_argument(
        "--template", choices=["classify", "summarise", "extract", "documents"], default=None
    )
    init.add_argument("--force", action="store_true", help="replace a job file that is there")


def _add_try(commands: _Commands) -> None:
    trial = _job_command(
        commands,
        "try",
        "send a few items, show answers and cost; the results count",
        "batchai try feedback",
        "batchai try feedback --key 1017 --show",
        "batchai try letters -n 1 --stream",
    )
    trial.add_argument("-n", type=_number, default=3, help="how many items (default 3)")
    trial.add_argument("--key", help="the item of this key instead")
    trial.add_argument("--show", action="store_true", help="show the prompts as they were sent")
    trial.add_argument(
        "--stream", action="store_true", help="show answers as they are written, one by one"
    )


def _add_status(commands: _Commands) -> None:
    status = _job_command(
        commands,
        "status",
        "progress, rate, spent, time to go, last failures; without JOB a line a job",
        "batchai status feedback --watch",
        is_optional=True,
    )
    status.add_argument(
        "--watch", action="store_true", help="again every second until nothing is at work"
    )
    _json(status)


def _add_show(commands: _Commands) -> None:
    show = _job_command(
        commands,
        "show",
        "items with prompt, answer, attempts and cost",
        "batchai show feedback 1017",
        "batchai show feedback --failed",
        "batchai show feedback invalid",
    )
    show.add_argument("key", nargs="?", help="an item's key, or a kind of failure such as invalid")
    show.add_argument("--failed", action="store_true", help="the failed items")
    show.add_argument(
        "--unknown", action="store_true", help="items whose attempt was never recorded"
    )
    show.add_argument("-n", type=_number, default=20, help="how many at most (default 20)")
    _json(show)


def _add_report(commands: _Commands) -> None:
    report = _job_command(
        commands,
        "report",
        "what came out and what it cost; without JOB a line a job",
        "batchai report feedback",
        "batchai report feedback --json",
        "batchai report feedback --verify",
        "batchai report feedback --reprice prices.yaml",
        "batchai report feedback --html report.html",
        is_optional=True,
    )
    report.add_argument(
        "--verify",
        action="store_true",
        help="prove that store, ledger, counters, report and result file agree; exit 1 if not",
    )
    report.add_argument(
        "--reprice",
        nargs="?",
        const="",
        metavar="FILE",
        help="what the same requests cost at the prices of a file (openai/m: {input_mtok: 1, "
        "output_mtok: 2}), else at those of now; the ledger stays as it is",
    )
    _json(report)
    report.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write one page with charts and a searchable table of items",
    )


def _add_export(commands: _Commands) -> None:
    export = _job_command(
        commands,
        "export",
        "write the result file now, whole or not at all; also while a run goes on",
        "batchai export feedback --to feedback.xlsx",
    )
    export.add_argument("--to", type=Path, help="another file; its suffix names the format")
    export.add_argument(
        "--overwrite", action="store_true", help="also a file that is not batchai's"
    )
    export.add_argument(
        "--salvage",
        action="store_true",
        help="of a damaged store, the results that can still be read, beside the result file "
        "(out.salvaged.csv); exits 1 where some cannot",
    )


def _add_run(commands: _Commands) -> None:
    for name, words in (
        ("run", "run the job; goes on with what is unfinished"),
        ("resume", "go on with a run: lift a pause, or run again what was interrupted"),
    ):
        run = _job_command(
            commands,
            name,
            words,
            f"batchai {name} feedback --budget 2",
            f"batchai {name} feedback --retry failed",
            f"batchai {name} feedback --changed rerun",
            f"batchai {name} jobs/quickstart.yaml --limit all",
            *(["batchai run feedback --rehearse usual"] if name == "run" else []),
        )
        run.set_defaults(rehearse=None)
        if name == "run":
            run.add_argument(
                "--rehearse",
                nargs="*",
                metavar="FAULT=SHARE",
                help="the whole run on a simulated provider, its waits skipped: no key, no cost, "
                "nothing of the job is touched; with faults such as usual, or hang=1%%",
            )
        run.add_argument(
            "--retry", metavar="failed|KIND,…", help="try failed items again, all or by outcome"
        )
        run.add_argument(
            "--changed",
            choices=["rerun", "keep"],
            help="what to do with results of before the prompt, model or schema changed",
        )
        run.add_argument(
            "--fresh", action="store_true", help="start from nothing (the old store is kept)"
        )
        run.add_argument(
            "--drain",
            type=_seconds,
            metavar="TIME",
            help="how long what is in flight may take after SIGTERM or Ctrl-C, such as 20s; what "
            "has no answer by then counts as unknown (default: each request's own deadline)",
        )
        run.add_argument("--yes", action="store_true", help="spend without a budget, do not ask")
        run.add_argument(
            "--overwrite", action="store_true", help="replace a result file of another hand"
        )


def _add_plan(commands: _Commands) -> None:
    plan = _job_command(
        commands,
        "plan",
        "what a run would do now: new, changed, reused, tokens, price, time; spends nothing "
        "without --pilot",
        "batchai plan feedback",
        "batchai plan feedback --pilot 30",
        "batchai plan feedback --models openai/gpt-5.4-mini,anthropic/claude-haiku-4-5",
    )
    plan.add_argument(
        "--pilot",
        type=_number,
        metavar="N",
        help="send N items drawn at random (they count as done), for a price and a time with a "
        "90%% interval",
    )
    plan.add_argument("--models", metavar="A,B", help="the same with each of these, side by side")
    _json(plan)


def _add_compare(commands: _Commands) -> None:
    compare = _job_command(
        commands,
        "compare",
        "the same random items through several models: validity, agreement, cost, latency",
        "batchai compare feedback --models openai/gpt-5.4-mini,anthropic/claude-haiku-4-5",
        "batchai compare feedback --models openai/gpt-5.4-mini,local/qwen3-0.6b --sample 200 "
        "--budget 1",
        "batchai compare feedback --models a/x,b/y --html models.html",
    )
    compare.add_argument("--models", metavar="A,B", required=True, help="two or more of them")
    compare.add_argument(
        "--sample",
        type=_number,
        default=50,
        metavar="N",
        help="how many items, drawn at random (default 50); a larger sample holds the smaller one, "
        "and only what is new is sent",
    )
    compare.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="another number draws other items (default: that of the job's own sample, or 0)",
    )
    compare.add_argument(
        "--step",
        metavar="NAME",
        help="the step whose model is compared (default: the last); those before it run for each "
        "model, those after it do not run",
    )
    compare.add_argument("--yes", action="store_true", help="spend without a budget, do not ask")
    _json(compare)
    compare.add_argument(
        "--html", type=Path, metavar="FILE", help="write one page with tables and disagreements"
    )


def _add_pause(commands: _Commands) -> None:
    _job_command(
        commands,
        "pause",
        "send nothing more until `batchai resume`; what is in flight is finished and recorded",
        "batchai pause feedback",
    )


def _add_tune(commands: _Commands) -> None:
    tune = _job_command(
        commands,
        "tune",
        "change limits and budget of a run, at once and until it is over; flags of a later "
        "`batchai run` win over it",
        "batchai tune feedback --concurrency 64 --requests-per-minute 500 --budget 20",
        "batchai tune feedback --reset",
    )
    tune.late = _tunable


def _add_stop(commands: _Commands) -> None:
    stop = _job_command(
        commands,
        "stop",
        "end a running job: it finishes what is in flight, exits with 3 and can be resumed",
        "batchai stop feedback",
    )
    stop.add_argument(
        "--now", action="store_true", help="leave at once: what is in flight counts as unknown"
    )


def _tunable(parser: argparse.ArgumentParser) -> None:
    from batchai.spec.tuning import LIMITS

    parser.add_argument("--reset", action="store_true", help="what the job itself says holds again")
    for name, about in LIMITS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=about)


def _add_check(commands: _Commands) -> None:
    check = _job_command(
        commands,
        "check",
        "find mistakes without sending anything",
        "batchai check feedback --all",
    )
    check.add_argument(
        "--all", action="store_true", help="tell every mistake and render every item"
    )


def _add_trust(commands: _Commands) -> None:
    trusting = _job_command(
        commands,
        "trust",
        "let the Python functions of a job's checks run, until their files change",
        "batchai trust invoices",
    )
    trusting.add_argument("--yes", action="store_true", help="do not ask")


def _add_doctor(commands: _Commands) -> None:
    doctor = _command(
        commands,
        "doctor",
        "what is found here: keys (never shown), packages, jobs",
        "batchai doctor",
    )
    _json(doctor)


def _add_notify(commands: _Commands) -> None:
    notify = _command(
        commands,
        "notify",
        "who is told when a run ends, stops, stalls or nears its budget (batchai.yaml, notify:)",
        "batchai notify --trust",
        "batchai notify --test",
    )
    notify.add_argument(
        "--trust", action="store_true", help="tell them from now on, as it stands there today"
    )
    notify.add_argument("--test", action="store_true", help="tell them once, to see that it works")


def _add_models(commands: _Commands) -> None:
    models = _command(
        commands, "models", "models with prices and end dates", "batchai models haiku"
    )
    models.add_argument("pattern", nargs="?", default="", help="part of a name")
    _json(models)


def _add_schema(commands: _Commands) -> None:
    schema = _command(
        commands,
        "schema",
        "the JSON Schema of job files, for editors, or of what --json prints",
        "batchai schema > job.schema.json",
        "batchai schema report > report.schema.json",
    )
    schema.add_argument(
        "of",
        nargs="?",
        choices=["job", "report", "status", "show", "compare"],
        default="job",
        help="a job file (default), or the JSON of a command",
    )


def _add_demo(commands: _Commands) -> None:
    _command(
        commands,
        "demo",
        "ten seconds: a job is killed and resumed before your eyes, on a simulated provider",
        "batchai demo",
    )


def _add_simulator(commands: _Commands) -> None:
    simulator = _command(
        commands,
        "simulator",
        "a provider on this machine that costs nothing: both protocols, limits, faults",
        "batchai simulator --port 8080 --latency 1 --sigma 0.5 --rpm 50",
        "batchai simulator --fault usual --fault hang=1%",
    )
    simulator.late = _simulated


def _add_backup(commands: _Commands) -> None:
    backup = _job_command(
        commands,
        "backup",
        "copy the job's store, consistent even while a run writes",
        "batchai backup feedback --to backups/feedback.db",
    )
    backup.add_argument("--to", type=Path, help="the copy (default: a dated name beside the store)")
    backup.add_argument("--overwrite", action="store_true", help="replace a copy that is there")


def _add_purge(commands: _Commands) -> None:
    purge = _job_command(
        commands,
        "purge",
        "remove all that is stored of a job, overwritten first: answers, costs, older stores, "
        "comparisons, backups",
        "batchai purge feedback",
        "batchai purge feedback --export --yes",
        "batchai purge feedback --removed",
    )
    purge.add_argument(
        "--export", action="store_true", help="also result files that are as batchai wrote them"
    )
    purge.add_argument(
        "--removed",
        action="store_true",
        help="only what is held of rows that left the input; attempts and costs are kept",
    )
    purge.add_argument("--yes", action="store_true", help="do not ask")


def _simulated(parser: argparse.ArgumentParser) -> None:
    from batchai.simulator.arguments import add_arguments

    add_arguments(parser)


def _command(commands: _Commands, name: str, words: str, *examples: str) -> _Parser:
    return commands.add_parser(
        name,
        help=words,
        description=words[0].upper() + words[1:] + ".",
        epilog="Examples:\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _job_command(
    commands: _Commands, name: str, words: str, *examples: str, is_optional: bool = False
) -> _Parser:
    command = _command(commands, name, words, *examples)
    command.add_argument(
        "job",
        metavar="JOB",
        nargs="?" if is_optional else None,
        help="a job file, or a name found here or in jobs/",
    )
    changes = command.add_argument_group("change the job for this command")
    changes.add_argument(
        "--model",
        metavar="PROVIDER/NAME",
        help="the model of every step, and of `history`; those of `fallback` and `escalate` stay "
        "(--set escalate.model=PROVIDER/NAME), but with local/NAME nothing leaves this machine: no "
        "fallback is asked, and doubted answers are asked for again of that model",
    )
    changes.add_argument("--base-url", metavar="URL", help="another server that speaks the same")
    changes.add_argument("--limit", metavar="N|all", help="the first N items of the input")
    changes.add_argument("--budget", metavar="USD", help="the most that the run may spend")
    changes.add_argument("--var", metavar="NAME=VALUE", action="append", default=[])
    changes.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="such as limits.concurrency=8, or steps.NAME.model.temperature=0",
    )
    changes.add_argument(
        "--allow-path",
        metavar="DIR",
        action="append",
        type=Path,
        default=[],
        help="paths may lie here too",
    )
    return command


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON of a stable shape")


def _seconds(text: str) -> float:
    from batchai.spec.amounts import seconds_of

    seconds = seconds_of(text)
    if seconds is None:
        raise argparse.ArgumentTypeError("must be a time such as 20s or 2m")
    return seconds


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return number


_COMMANDS: tuple[Callable[[_Commands], None], ...] = (  # as the help lists them
    _add_init,
    _add_try,
    _add_run,
    _add_status,
    _add_show,
    _add_report,
    _add_export,
    _add_plan,
    _add_compare,
    _add_pause,
    _add_tune,
    _add_stop,
    _add_check,
    _add_trust,
    _add_doctor,
    _add_notify,
    _add_models,
    _add_schema,
    _add_demo,
    _add_simulator,
    _add_backup,
    _add_purge,
)
