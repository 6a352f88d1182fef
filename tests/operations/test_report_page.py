"""The report as a page: what is in it, and what a browser makes of it."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchai.errors import SpecError
from batchai.operations.report_page import write_page
from batchai.simulator import Fault, Settings, SimRequest, Simulator
from batchai.spec import load_job
from tests.benchmarks.nights import night
from tests.browser import Page, browser_page
from tests.kit import KEY, Workspace

HOSTILE = (
    "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 2'>"
    "<style>body { display: none }</style><!-- <script> {{ 7 * 7 }} \u202e\x1b[31m &lt;b&gt;"
)
_VIEWS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Sixty items: one hostile in text, key and answer, one refused, one asked twice, one long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIM_KEY", KEY)
        plan = Settings(faults=_fault, answer=_answer, cache_read_share=0.2)
        with Simulator(plan) as sim:
            top = "budget_usd: 0.05\nlimits: {requests_per_minute: 3000, concurrency: 8}"
            folder = tmp_path_factory.mktemp("page")
            space = Workspace(folder, sim.openai_url, top=top)
            rows = {f"k{number}": f"text {number} end" for number in range(58)}
            space.write({**rows, "<b>key</b>": HOSTILE, "long": "word " * 5_000})
            space.write_job(schema="{mood: [good, bad], why: string}").run()
            yield space


@pytest.fixture(scope="module")
def path(space: Workspace) -> Path:
    path = space.folder / "report.html"
    write_page(space.job(), path, name="job.yaml")
    return path


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browser_page(tmp_path) as page:
        yield page
        assert page.complaints == []  # no error, no broken policy, nothing fetched


def _fault(request: SimRequest, _index: int) -> Fault | None:
    if "text 3 end" in request.prompt:
        return Fault.REFUSED
    if "text 7 end" in request.prompt and request.attempt == 1:
        return Fault.SERVER_ERROR
    return None


def _answer(request: SimRequest) -> str:
    mood = "good" if len(request.prompt) % 2 else "bad"
    return json.dumps({"mood": mood, "why": HOSTILE if "stolen" in request.prompt else "since"})


def test_the_page_allows_only_its_own_style_and_script(path: Path) -> None:
    html = path.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert not re.search(
        r"""(src|href)=["']?(https?:|//)|\bon\w+="|style=""", html.split("<body>")[1]
    )


def test_what_data_and_models_wrote_is_no_markup(path: Path) -> None:
    html = path.read_text(encoding="utf-8")
    assert "<img" not in html
    assert "window.stolen = 1</script>" not in html
    assert html.count("<script") == 2
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "49" not in re.findall(r"\{\{.*?\}\}", html)


def test_it_holds_the_run_to_its_estimate_and_tells_what_policies_cost(path: Path) -> None:
    html = path.read_text(encoding="utf-8")
    assert "Estimate and actual" in html
    assert "<td>sizes</td>" in html
    assert "Further attempts, by what asked for them" in html
    assert "<td>retry</td>" in html
    assert "Models that were compared" not in html


def test_only_a_page_of_ours_is_replaced(space: Workspace, path: Path, tmp_path: Path) -> None:
    write_page(space.job(), path, name="job")
    other = tmp_path / "index.html"
    other.write_text("<title>mine</title>")
    with pytest.raises(SpecError, match="is no report of batchai; name another file"):
        write_page(space.job(), other, name="job")
    assert other.read_text() == "<title>mine</title>"
    with pytest.raises(SpecError, match="cannot be written"):
        write_page(space.job(), tmp_path / "absent" / "x.html", name="job")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", _VIEWS)
async def test_it_is_readable_on_every_screen(
    path: Path, page: Page, view: str, scheme: str
) -> None:
    width, height = _VIEWS[view]
    await page.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=view == "phone",
    )
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    await page.send("Emulation.setEmulatedMedia", features=media)
    await page.open(path)
    assert await page.value("document.documentElement.scrollWidth") <= width
    assert await page.value(_LEAST_CONTRAST) >= 4.5
    background = await page.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 384) == (scheme == "dark")


async def test_charts_show_the_figures_and_say_them(path: Path, page: Page) -> None:
    await page.open(path)
    titles = await page.value("[...document.querySelectorAll('figure h2')].map(t => t.textContent)")
    assert titles == [
        "Cost over time",
        "Throughput and limits",
        "Outcomes",
        "Cost by model",
        "Latency",
        "Input tokens",
        "Output tokens",
    ]
    flat = "[...document.querySelectorAll('figure > svg')].filter(s => s.getBBox().height < 10)"
    assert await page.value(f"{flat}.length") == 0
    silent = "[...document.querySelectorAll('svg')].filter(s => !s.querySelector('title'))"
    assert await page.value(f"{silent}.length") == 0
    shown = "[...document.querySelectorAll('figure:nth-child(3) tbody tr')].map(r => r.innerText)"
    await page.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    first, *_ = await page.value(shown)
    assert first.split()[:2] == ["succeeded", "59"]
    bars = "document.querySelectorAll('figure:nth-child(3) svg rect').length"
    assert await page.value(bars) == 3  # succeeded, refused, server_error
    cap = "document.querySelector('figure:nth-child(1) .marked, figure:nth-child(1) .note')"
    assert "cap" in await page.value(f"{cap}.textContent")


async def test_items_are_searched_sorted_paged_and_opened(path: Path, page: Page) -> None:
    await page.open(path)
    rows = "[...document.querySelectorAll('#table tbody > tr')]"
    assert await page.value(f"{rows}.length") == 50
    await page.value("document.getElementById('after').click()")
    assert await page.value(f"{rows}.length") == 10
    await _type(page, "search", "TEXT 41 end")
    assert await page.value(f"{rows}.map(r => r.cells[0].innerText)") == ["k41"]
    await page.value("document.querySelector('#table .open').click()")
    opened = await page.value(f"{rows}[1].innerText")
    for words in (
        "prompt, user\nClassify: text 41 end",
        '"why": "since"',
        "succeeded",
        "gpt-5.4-mini",
    ):
        assert words in opened
    await _type(page, "search", "")
    await _type(page, "state", "refused", event="change")
    assert await page.value(f"{rows}.map(r => r.cells[0].innerText)") == ["k3"]
    await _type(page, "state", "", event="change")
    await page.value("document.querySelector('[data-sort=usd]').click()")
    assert await page.value(f"{rows}[0].cells[0].innerText") == "long"
    sorted_by = "document.querySelector('th[aria-sort]').getAttribute('aria-sort')"
    assert await page.value(sorted_by) == "descending"


async def test_hostile_text_is_shown_and_does_nothing(path: Path, page: Page) -> None:
    await page.open(path)
    await _type(page, "search", "window.stolen")
    await page.value("document.querySelector('#table .open').click()")
    key = await page.value("document.querySelector('#table .open').textContent")
    assert key == "<b>key</b>"
    answer = await page.value(
        "[...document.querySelectorAll('#table pre')].map(p => p.textContent)"
    )
    assert any("</script><script>window.stolen = 1</script><img" in text for text in answer)
    assert await page.value("typeof window.stolen") == "undefined"
    assert await page.value("document.images.length") == 0
    assert await page.value("getComputedStyle(document.body).display") == "block"


async def test_paper_has_no_controls(path: Path, page: Page) -> None:
    await page.send("Emulation.setEmulatedMedia", media="print")
    await page.open(path)
    controls = "['.controls', '.pages', 'details'].map(s => document.querySelector(s).offsetHeight)"
    assert await page.value(controls) == [0, 0, 0]


async def test_a_hundred_thousand_items_open_within_three_seconds(
    tmp_path: Path, page: Page
) -> None:
    job = load_job(await asyncio.to_thread(night, tmp_path, 100_000))
    path = tmp_path / "large.html"
    write_page(job, path, name="benchmark")
    assert path.stat().st_size < 5_000_000
    assert await page.open(path) < 3
    said = await page.value("document.querySelector('#items .note').textContent")
    assert re.search(r"4,000 of 100,000 items .* what failed, and what cost most", said, re.DOTALL)
    await _type(page, "state", "invalid", event="change")
    found = await page.value("document.getElementById('count').innerText")
    assert 2_667 <= int(found.removesuffix(" found").replace(",", "")) < 4_000


async def _type(page: Page, field: str, words: str, *, event: str = "input") -> None:
    change: dict[str, Any] = {"field": field, "words": words, "event": event}
    await page.value(
        f"(({{field, words, event}}) => {{ const box = document.getElementById(field);"
        f" box.value = words; box.dispatchEvent(new Event(event)); }})({json.dumps(change)})"
    )


_LEAST_CONTRAST = """(() => {
  const light = (words) => {
    const parts = words.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
  };
  const texts = [...document.querySelectorAll("p, h1, h2, th, td, li, code, span, summary, label")];
  return Math.min(...texts.filter((each) => each.innerText && each.offsetHeight).map((each) => {
    const pair = [light(getComputedStyle(each).color), light(ground(each))];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  }));
})()"""
