"""The page: template, style and script of this folder, and a policy that allows only these."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from batchai.reports.job_report import JobReport
from batchai.reports.money_text import estimate_rows, limit_words, remedy_for
from batchai.reports.page.figures import figures
from batchai.reports.page.items import PageItems
from batchai.reports.page.tiles import tiles
from batchai.reports.report_text import next_command, outcome_line, remarks, sums_rows
from batchai.reports.words import moment, one_line, printable, share, usd

_FOLDER = "batchai.reports.page"


def page_html(
    report: JobReport, items: PageItems, name: str, *, comparison_page: str | None = None
) -> str:
    """The report as HTML. name: JOB as the user typed it, for what to type next.

    comparison_page: a link to the page of the last comparison of models, if there is one.
    """
    style, script = file_text("page.css"), file_text("page.js")
    return template("page.html.j2").render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        report=report,
        headline=outcome_line(report),
        following=next_command(report, name),
        remarks=[printable(line) for line in remarks(report)],
        tiles=list(tiles(report)),
        figures=list(figures(report)),
        sums=sums_rows(report),
        estimates=estimate_rows(report.runs),
        comparison_page=comparison_page,
        advice=[(each, remedy_for(each, name)) for each in report.advice],
        items=items,
        data=Markup(items.json_text()),
        now=moment(report.at),
    )


@cache
def template(name: str) -> Template:
    """A template of this folder, which escapes whatever it is given."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "usd": usd,
        "one_line": one_line,
        "printable": printable,
        "limit_words": limit_words,
    }
    environment.globals["share"] = share
    return environment.from_string(file_text(name))


def policy(style: str, script: str | None = None) -> str:
    """Nothing from anywhere: this one style and this one script, if any, by their hashes."""
    scripts = "" if script is None else f" script-src '{_hash(script)}';"
    return (
        f"default-src 'none'; style-src '{_hash(style)}';{scripts} "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def file_text(name: str) -> str:
    """A file of this folder."""
    return files(_FOLDER).joinpath(name).read_text(encoding="utf-8")
