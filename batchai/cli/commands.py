"""Each command: options in, one operation, text out, exit code back.

Operations are imported by the command that needs them, so that none pays for the others.
"""

import argparse
import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from batchai.cli.console import Terminal, log_to_terminal
from batchai.cli.following import changes_of, following
from batchai.errors import SpecError
from batchai.spec import Overrides, find_job, load_job
from batchai.spec.models import Job

Command = Callable[[argparse.Namespace], int]


def run(options: argparse.Namespace) -> int:
    """`batchai run`, `batchai resume`."""
    from batchai.cli.words import run_text
    from batchai.operations.run import RunOptions, run_job

    if options.rehearse is not None:
        return _rehearse(options)
    job = _job(options)
    if options.command == "resume" and _lift_pause(job, options):
        return 0
    chosen = RunOptions(
        retry=_outcomes(options.retry),
        changed=options.changed,
        fresh=options.fresh,
        yes=options.yes,
        overwrite=options.overwrite,
        drain_seconds=options.drain,
        resume=options.command == "resume",
    )
    terminal = Terminal()
    try:
        summary = asyncio.run(run_job(job, chosen, console=terminal))
    finally:
        terminal.close()
    print(run_text(summary, options.job, changes=changes_of(options)))
    return summary.exit_code


def _lift_pause(job: Job, options: argparse.Namespace) -> bool:
    """Whether a launch at work was told; not where flags ask for more than to lift a pause."""
    from batchai.operations.steer import resume

    if job.overridden or options.retry or options.changed or options.fresh:
        return False
    told = resume(job)
    if told is not None:
        print(told.text)
    return told is not None


def pause(options: argparse.Namespace) -> int:
    """`batchai pause`."""
    from batchai.operations.steer import pause as tell

    print(tell(_job(options), options.job).text)
    return 0


def tune(options: argparse.Namespace) -> int:
    """`batchai tune`."""
    from batchai.operations.steer import tune as tell
    from batchai.spec.tuning import LIMITS

    given = {name: getattr(options, name) for name in LIMITS}
    options.set += [f"limits.{name}={value}" for name, value in given.items() if value is not None]
    print(tell(_job(options), options.job, reset=options.reset).text)
    return 0


def stop(options: argparse.Namespace) -> int:
    """`batchai stop`."""
    from batchai.operations.steer import stop as tell

    print(tell(_job(options), options.job, now=options.now).text)
    return 0


def notify(options: argparse.Namespace) -> int:
    """`batchai notify`."""
    from batchai.operations.notify import notify_here

    shown = notify_here(Path.cwd(), trusts=options.trust, tests=options.test)
    print(shown.text)
    return 1 if shown.problems else 0


def _rehearse(options: argparse.Namespace) -> int:
    """`batchai run --rehearse`."""
    from batchai.cli.simulated import rehearsal_text
    from batchai.operations.rehearse import rehearse

    if options.retry or options.changed:
        raise SpecError("--rehearse begins anew each time: leave --retry and --changed out")
    terminal = Terminal()
    try:
        rehearsal = rehearse(_job(options), options.rehearse, console=terminal)
    finally:
        terminal.close()
    print(rehearsal_text(rehearsal, options.job))
    return rehearsal.run.exit_code


def try_(options: argparse.Namespace) -> int:
    """`batchai try`."""
    from batchai.cli.words import trial_text
    from batchai.operations.trial import try_items

    job = _job(options)
    terminal = Terminal()
    try:
        trial = asyncio.run(
            try_items(
                job,
                count=options.n,
                key=options.key,
                on_text=terminal.write if options.stream else None,
                console=terminal,
            )
        )
    finally:
        terminal.close()
    changes = changes_of(options)
    print(trial_text(trial, options.job, shows_prompts=options.show, changes=changes))
    return trial.exit_code


def plan(options: argparse.Namespace) -> int:
    """`batchai plan`."""
    from batchai.cli.plans import plan_text, plan_values, plans_text
    from batchai.operations.plan import plan as make_plan

    if options.models and options.pilot:
        raise SpecError("--pilot sends to one model: leave --models out, or give --model")
    if options.pilot:
        return _pilot(options)
    names = options.models.split(",") if options.models else []
    plans = [asyncio.run(make_plan(_job(options, model=name.strip()))) for name in names]
    if plans:
        values = {"schema_version": 1, "plans": [plan_values(made) for made in plans]}
        print(_dumped(values) if options.json else plans_text(plans, options.job))
        return 0
    made = asyncio.run(make_plan(_job(options)))
    values = {"schema_version": 1, **plan_values(made)}
    print(
        _dumped(values)
        if options.json
        else plan_text(made, options.job, changes=changes_of(options))
    )
    return 0


def compare(options: argparse.Namespace) -> int:
    """`batchai compare`."""
    from batchai.operations.compare import CompareOptions
    from batchai.operations.compare import compare as ask_models
    from batchai.operations.report_page import refuse_foreign, write_whole
    from batchai.reports.comparison_text import comparison_text, headline
    from batchai.reports.json_text import json_text
    from batchai.reports.page.comparison import comparison_html

    if options.model is not None:
        raise SpecError("--model names one model: name those to compare with --models a,b")
    if options.html is not None:
        refuse_foreign(options.html)
    names = [name.strip() for name in options.models.split(",") if name.strip()]
    others = [_job(options, model=name) for name in names]
    chosen = CompareOptions(options.sample, options.seed, options.step, options.yes)
    terminal = Terminal()
    try:
        made = asyncio.run(ask_models(_job(options), others, chosen, console=terminal))
    finally:
        terminal.close()
    if options.html is not None:
        write_whole(options.html, comparison_html(made))
    if options.json:
        print(json_text(made))
    elif options.html is not None:
        print(f"Wrote {options.html} · {headline(made)}")
    else:
        print(comparison_text(made))
    return made.exit_code


def _pilot(options: argparse.Namespace) -> int:
    """`batchai plan --pilot N`."""
    from batchai.cli.plans import pilot_text, pilot_values
    from batchai.operations.pilot import pilot

    job = _job(options)
    terminal = Terminal()
    try:
        made = asyncio.run(pilot(job, count=options.pilot, console=terminal))
    finally:
        terminal.close()
    values = {"schema_version": 1, **pilot_values(made)}
    print(
        _dumped(values)
        if options.json
        else pilot_text(made, options.job, changes=changes_of(options))
    )
    return made.exit_code


def check(options: argparse.Namespace) -> int:
    """`batchai check`."""
    from itertools import islice

    from batchai.operations.check import check as find
    from batchai.operations.check import unrendered
    from batchai.spec import find_mistakes

    path = find_job(options.job)
    found = find_mistakes(path, overrides=_overrides(options))
    if not found:
        job = load_job(path, overrides=_overrides(options))
        mistakes = find(job, every_item=options.all)
        found = list(mistakes if options.all else islice(mistakes, 1))
    if not found:
        from batchai.operations.remarks import repeated_share, warnings

        for line in warnings(job):
            print(f"warning: {line}", file=sys.stderr)
        left = unrendered(job) if options.all else ""
        if (share := repeated_share(job)) is not None:
            print(f"about {share:.0%} of the input tokens are the same in every request")
        follow = f"batchai try {shlex.quote(options.job)}"
        follow = following(follow, options.job, changes_of(options))
        print(f"{path.name}: no mistakes found · next: {follow}")
        if left:
            print(left)
        return 0
    for line in found if options.all else found[:1]:
        print(line, file=sys.stderr)
    if not options.all and len(found) > 1:
        print(f"and {len(found) - 1} more: batchai check {options.job} --all", file=sys.stderr)
    return 2


def trust(options: argparse.Namespace) -> int:
    """`batchai trust`."""
    from batchai.operations.functions import trust_functions

    print(trust_functions(_job(options), yes=options.yes, console=Terminal()).text)
    return 0


def export(options: argparse.Namespace) -> int:
    """`batchai export`."""
    from batchai.cli.words import cut_text
    from batchai.operations.export import export as write
    from batchai.reports.words import counted

    summary = write(
        _job(options), to=options.to, overwrite=options.overwrite, salvage=options.salvage
    )
    print(
        f"Wrote {summary.path} · {summary.rows:,} rows · {summary.succeeded:,} succeeded · "
        f"{summary.failed:,} failed"
    )
    if summary.cut_cells:
        print(cut_text(summary.cut_cells))
    if summary.lost:
        print(f"{counted(summary.lost, 'item')} could not be read, or not whole")
    return 1 if summary.lost else 0


def report(options: argparse.Namespace) -> int:
    """`batchai report`."""
    from batchai.operations.report import report as make_report
    from batchai.operations.report import report_all
    from batchai.reports.jobs_text import all_to_json, costs_text
    from batchai.reports.json_text import json_text
    from batchai.reports.report_text import report_text

    if options.html is not None:
        return _report_page(options)
    if options.job is None:
        lines = report_all()
        print(all_to_json(lines) if options.json else costs_text(lines))
        return 0
    if options.verify:
        return _verify(options)
    if options.reprice is not None:
        return _reprice(options)
    made = make_report(_job(options))
    print(json_text(made) if options.json else report_text(made, options.job))
    return 0


def _reprice(options: argparse.Namespace) -> int:
    """`batchai report --reprice`."""
    from batchai.operations.reprice import reprice, repricing_text
    from batchai.reports.json_text import json_text

    made = reprice(_job(options), Path(options.reprice) if options.reprice else None)
    print(json_text(made) if options.json else repricing_text(made))
    return 0


def _verify(options: argparse.Namespace) -> int:
    """`batchai report --verify`."""
    from batchai.operations.verify import verify
    from batchai.reports.json_text import json_text
    from batchai.reports.verification import verification_text

    made = verify(_job(options))
    print(json_text(made) if options.json else verification_text(made))
    return made.exit_code


def _report_page(options: argparse.Namespace) -> int:
    """`batchai report --html`."""
    from batchai.operations.report_page import write_page
    from batchai.reports.json_text import json_text
    from batchai.reports.report_text import headline

    if options.job is None:
        raise SpecError("--html is the page of one job: batchai report JOB --html FILE")
    made = write_page(_job(options), options.html, name=options.job)
    print(
        json_text(made) if options.json else f"Wrote {options.html} · {headline(made, options.job)}"
    )
    return 0


def status(options: argparse.Namespace) -> int:
    """`batchai status`."""
    from batchai.operations.status import status as make_status
    from batchai.operations.status import status_all
    from batchai.reports.job_status import status_text
    from batchai.reports.jobs_text import all_to_json, progress_text
    from batchai.reports.json_text import json_text

    if options.job is None:
        if options.watch:
            from batchai.cli.watching import watch_all

            asyncio.run(watch_all(as_json=options.json))
            return 0
        lines = status_all()
        print(all_to_json(lines) if options.json else progress_text(lines))
        return 0
    job = _job(options)
    if options.watch:
        from batchai.cli.watching import watch_job

        asyncio.run(watch_job(job, options.job, as_json=options.json))
        return 0
    made = make_status(job)
    print(json_text(made) if options.json else status_text(made, options.job))
    return 0


def show(options: argparse.Namespace) -> int:
    """`batchai show`."""
    from batchai.operations.show import show as find
    from batchai.reports.json_text import json_text
    from batchai.reports.shown_text import shown_text

    found = find(
        _job(options),
        key=options.key,
        failed=options.failed,
        unknown=options.unknown,
        limit=options.n,
    )
    print(json_text(found) if options.json else shown_text(found, options.job))
    return 0


def init(options: argparse.Namespace) -> int:
    """`batchai init`."""
    from batchai.operations.init import init as write

    written = write(
        options.name,
        options.data,
        folder=Path.cwd(),
        template=options.template,
        force=options.force,
    )
    print(written.text)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """`batchai doctor`."""
    from batchai.operations.doctor import doctor as look
    from batchai.operations.findings import findings_exit_code, findings_json, findings_text

    found = look(Path.cwd())
    print(_dumped(findings_json(found)) if options.json else findings_text(found))
    return findings_exit_code(found)


def models(options: argparse.Namespace) -> int:
    """`batchai models`."""
    from batchai.operations.models import models as find
    from batchai.operations.models import models_json, models_text

    found = find(options.pattern)
    print(_dumped(models_json(found)) if options.json else models_text(found))
    return 0


def backup(options: argparse.Namespace) -> int:
    """`batchai backup`."""
    from batchai.operations.backup import backup as copy

    print(copy(_job(options), options.to, overwrite=options.overwrite).text)
    return 0


def purge(options: argparse.Namespace) -> int:
    """`batchai purge`."""
    from batchai.operations.purge import purge as remove

    job = _job(options)
    done = remove(
        job, results=options.export, removed=options.removed, yes=options.yes, console=Terminal()
    )
    print(done.text)
    return 0


def schema(options: argparse.Namespace) -> int:
    """`batchai schema`."""
    from batchai.reports.shapes import json_shape
    from batchai.spec import editor_schema

    print(_dumped(editor_schema() if options.of == "job" else json_shape(options.of)))
    return 0


def simulator(options: argparse.Namespace) -> int:
    """`batchai simulator`."""
    from batchai.cli.simulated import service_text, serving_text
    from batchai.operations.simulate import simulate
    from batchai.simulator.arguments import settings_of

    settings = settings_of(options)
    service = simulate(
        settings,
        announce=lambda running: print(
            serving_text(running, wants_key=settings.require_key), flush=True
        ),
    )
    print(service_text(service))
    return 0


def demo(_options: argparse.Namespace) -> int:
    """`batchai demo`."""
    from batchai.operations.demo import demo as perform

    return 0 if perform(say=lambda line: print(line, flush=True)) else 1


COMMANDS: dict[str, Command] = {
    "run": run,
    "resume": run,
    "try": try_,
    "pause": pause,
    "tune": tune,
    "stop": stop,
    "notify": notify,
    "plan": plan,
    "compare": compare,
    "check": check,
    "trust": trust,
    "export": export,
    "report": report,
    "status": status,
    "show": show,
    "init": init,
    "doctor": doctor,
    "models": models,
    "schema": schema,
    "backup": backup,
    "purge": purge,
    "simulator": simulator,
    "demo": demo,
}


def _dumped(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _job(options: argparse.Namespace, *, model: str | None = None) -> Job:
    path = find_job(options.job)
    log_to_terminal(path.parent)
    return load_job(path, overrides=_overrides(options, model=model))


def _overrides(options: argparse.Namespace, *, model: str | None = None) -> Overrides:
    return Overrides(
        model=model or options.model,
        base_url=options.base_url,
        settings=tuple(options.set),
        variables=tuple(options.var),
        allow_paths=tuple(options.allow_path),
        limit=options.limit,
        budget=options.budget,
    )


def _outcomes(text: str | None) -> frozenset[str] | None:
    """`failed` is all of them, else outcomes by name."""
    from batchai.domain import Outcome

    if text is None:
        return None
    if text == "failed":
        return frozenset()
    names = frozenset(name.strip() for name in text.split(","))
    known = {outcome.value for outcome in Outcome}
    for name in sorted(names - known):
        raise SpecError(
            f"--retry {name}: no such outcome; use failed, or one of {', '.join(sorted(known))}"
        )
    return names
