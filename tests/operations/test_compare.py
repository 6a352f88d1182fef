"""`compare`: three models of different minds over the same items, their stores, money and words."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import jsonschema_rs
import pytest

from batchai.cli import main
from batchai.domain import NO_COST
from batchai.errors import BatchaiError, RefusedError, SpecError, StoreBusyError
from batchai.operations.compare import CompareOptions, compare
from batchai.operations.console import Silence
from batchai.operations.purge import purge
from batchai.operations.report import report, report_all
from batchai.operations.report_page import write_page
from batchai.reports.comparison import ComparedModel, Comparison
from batchai.reports.comparison_text import comparison_text
from batchai.reports.job_report import Pair
from batchai.reports.json_text import json_text
from batchai.reports.page.comparison import comparison_html
from batchai.reports.shapes import json_shape
from batchai.simulator import Fault, Rates, Settings, SimRequest, Simulator
from batchai.spec import Overrides, load_job
from batchai.spec.models import Job
from batchai.store import Reader
from batchai.store.lock import Lock
from tests.browser import browser_page
from tests.kit import KEY, Workspace

A, B, C = "openai/gpt-5.4-mini", "openai/gpt-5.4-nano", "openai/gpt-5.5"
HOSTILE = "</td><script>window.stolen = 1</script>\u202e"
ITEMS = 30
RATES = {  # the job's price for its own model, the price data's for the others
    "gpt-5.4-mini": Rates(input_mtok=Decimal(1), output_mtok=Decimal(2)),
    "gpt-5.4-nano": Rates(input_mtok=Decimal("0.20"), output_mtok=Decimal("1.25")),
    "gpt-5.5": Rates(input_mtok=Decimal(5), output_mtok=Decimal(30)),
}


def _mood(number: int) -> str:
    return "good" if number % 2 else "bad"


def _answer(request: SimRequest) -> str:
    """A is right; B takes what is bad at every third item for good; C writes no JSON at the 4th."""
    number = int(request.prompt.split()[1])
    mood = _mood(number)
    if request.model == "gpt-5.4-nano" and number % 3 == 0:
        mood = "good"
    if request.model == "gpt-5.5" and number == 4:
        return "I will not say"
    return json.dumps({"mood": mood, "why": f"{HOSTILE} {request.model}"})


def _fault(request: SimRequest, _index: int) -> Fault | None:
    """The second model asked stumbles once."""
    is_first = request.attempt == 2 and "text 5 " in request.prompt
    return Fault.SERVER_ERROR if is_first and request.model == "gpt-5.4-nano" else None


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(Settings(answer=_answer, faults=_fault)) as sim:
        yield sim


@pytest.fixture
def space(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SIM_KEY", KEY)
    return job_of(tmp_path, sim)


def job_of(folder: Path, sim: Simulator, top: str = "") -> Workspace:
    top = f"expect: {{mood: gold}}\non_invalid: fail\n{top}"
    space = Workspace(folder, sim.openai_url, top=top)
    space.write_rows(
        {"id": f"k{n}", "text": f"text {n} end", "gold": _mood(n)} for n in range(ITEMS)
    )
    return space.write_job(prompt="{{ item.text }}", schema="{mood: [good, bad], why: string}")


def loaded(space: Workspace, *, model: str | None = None, budget: str | None = "1") -> Job:
    return load_job(space.job_path, overrides=Overrides(model=model, budget=budget))


def jobs(space: Workspace, *models: str) -> list[Job]:
    """The job with each model."""
    return [loaded(space, model=model) for model in models or (A, B, C)]


def compared(
    space: Workspace, *models: str, sample: int = ITEMS, budget: str | None = "1", yes: bool = False
) -> Comparison:
    options = CompareOptions(sample=sample, seed=7, yes=yes)
    return asyncio.run(compare(loaded(space, budget=budget), jobs(space, *models), options))


def by_model(comparison: Comparison) -> dict[str, ComparedModel]:
    return {model.model: model for model in comparison.models}


def asked(sim: Simulator) -> Counter[str]:
    return Counter(f"openai/{entry.model}" for entry in sim.received)


def test_each_model_is_judged_by_the_same_items(space: Workspace, sim: Simulator) -> None:
    made = compared(space, sample=ITEMS)
    a, b, c = (by_model(made)[name] for name in (A, B, C))

    assert made.exit_code == 0
    assert made.items == a.items == b.items == c.items == ITEMS
    assert (a.valid, b.valid, c.valid) == (ITEMS, ITEMS, ITEMS - 1)
    assert c.outcomes == {"succeeded": ITEMS - 1, "invalid": 1}
    assert b.attempts == {"succeeded": ITEMS, "server_error": 1}
    assert a.latency is not None
    assert 0 < a.latency.p50_seconds <= a.latency.p95_seconds
    assert sum(model.cost_usd for model in made.models) == sim.bill(RATES) == made.spent_usd
    assert a.cost_per_1000_usd == (a.cost_usd * 1000 / ITEMS).quantize(Decimal("1e-12"))


def test_accuracy_and_confusion_are_those_of_the_answers(space: Workspace) -> None:
    made = compared(space)
    accuracies = {name: model.accuracy[0] for name, model in by_model(made).items()}

    assert [(each.agreed, each.compared) for each in accuracies.values()] == [
        (ITEMS, ITEMS),
        (ITEMS - 5, ITEMS),
        (ITEMS - 1, ITEMS - 1),
    ]
    assert accuracies[B].confusion == (
        Pair("good", "good", 15),
        Pair("bad", "bad", 10),
        Pair("bad", "good", 5),
    )
    assert made.free_text == ("why",)
    pairs = {(each.first, each.second): (each.agreed, each.compared) for each in made.agreement}
    assert pairs == {
        (A, B): (25, ITEMS),
        (A, C): (ITEMS - 1, ITEMS - 1),
        (B, C): (24, ITEMS - 1),
    }


def test_disagreements_name_item_field_and_each_model_s_value(space: Workspace) -> None:
    made = compared(space)

    assert [each.key for each in made.differences] == ["k0", "k6", "k12", "k18", "k24"]
    assert made.differing == 5
    first = made.differences[0]
    assert (first.field, first.expected) == ("mood", "bad")
    assert {each.model: each.value for each in first.given} == {A: "bad", B: "good", C: "bad"}


def test_nothing_is_paid_for_twice_and_a_larger_sample_adds_what_is_new(
    space: Workspace, sim: Simulator
) -> None:
    small = compared(space, A, B, sample=10)
    paid = sum(asked(sim).values())
    again = compared(space, A, B, sample=10)
    assert again.spent_usd == 0 < small.spent_usd
    assert sum(asked(sim).values()) == paid
    assert by_model(again)[A].cost_per_1000_usd == by_model(small)[A].cost_per_1000_usd

    large = compared(space, A, B, C, sample=20)
    assert large.items == 20
    prompts = Counter((entry.model, entry.prompt) for entry in sim.received if entry.status == 200)
    assert set(prompts.values()) == {1}
    assert Counter(model for model, _ in prompts) == dict.fromkeys(
        ("gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.5"), 20
    )


def test_what_the_job_has_paid_for_is_taken_from_it(space: Workspace, sim: Simulator) -> None:
    space.run()
    bill = sim.bill(RATES)
    made = compared(space, A, C, sample=8)
    own = {row.key: row for row in space.results()}

    assert asked(sim) == {A: ITEMS, C: 8}
    assert made.lent == 8
    assert made.spent_usd == sim.bill(RATES) - bill
    a = by_model(made)[A]
    assert a.outcomes["succeeded"] == 8
    assert a.cost_usd == sum((own[key].lineage.cost_usd for key in _sampled(space)), NO_COST)
    assert "8 results of the job's own runs taken, not paid for again" in comparison_text(made)
    again = compared(space, A, C, sample=8)
    assert (again.spent_usd, again.lent) == (NO_COST, 8)


def _sampled(space: Workspace) -> list[str]:
    """The keys of the items that were compared."""
    (path,) = space.job().comparisons_folder.glob("*gpt-5.5-*.db")
    reader = Reader(path)
    try:
        return [row.key for row in reader.results(*space.job().step_names)]
    finally:
        reader.close()


def test_one_budget_caps_all_models_together_and_all_launches(
    space: Workspace, sim: Simulator
) -> None:
    whole = compared(space, B, A, budget="1")
    purge(space.job(), yes=True, console=Silence())
    already = sim.bill(RATES)
    costs = [model.cost_usd for model in whole.models]
    cap = (costs[0] + costs[1] / 2).quantize(Decimal("1e-6"))

    for _ in range(2):
        stopped = compared(space, B, A, budget=str(cap))
        assert stopped.exit_code == 3
        assert by_model(stopped)[A].ended == "budget"
        assert sim.bill(RATES) - already == stopped.cost_usd <= cap
    assert "the budget is used up" in comparison_text(stopped)
    assert compared(space, B, A, budget="1").cost_usd == whole.cost_usd


def test_after_a_kill_the_comparison_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)

    def hang_amid_the_second(request: SimRequest, _index: int) -> Fault | None:
        is_there = request.model == "gpt-5.4-nano" and "text 9 end" in request.prompt
        return Fault.HANG if is_there and request.attempt == 2 else None

    with Simulator(Settings(answer=_answer, faults=hang_amid_the_second)) as sim:
        space = job_of(tmp_path, sim, top="limits: {concurrency: 1}")
        process = space.start("compare", "--models", f"{A},{B}", "--sample", "30", "--budget", "1")
        try:
            sim.wait_for(ITEMS + 10, timeout_seconds=180)
        finally:
            process.kill()
            _, said = process.communicate()
        assert "(2 of 2)" in said
        before = len(sim.received)
        made = compared(space, A, B)
        assert made.exit_code == 0
        assert by_model(made)[B].valid == ITEMS
        new = Counter(entry.model for entry in sim.received[before:])
        assert new == {"gpt-5.4-nano": ITEMS - 9}
        assert made.cost_usd < sim.bill(RATES) <= made.cost_usd + made.unconfirmed_usd


def test_a_changed_prompt_is_compared_anew(space: Workspace, sim: Simulator) -> None:
    first = compared(space, A, B, sample=5)
    space.write_job(prompt="Say {{ item.text }}", schema="{mood: [good, bad], why: string}")
    space.job_path.write_text(
        space.job_path.read_text().replace("Say {{", "{{").replace("}}'", "}} !'")
    )
    second = compared(space, A, B, sample=5)
    assert second.spent_usd == second.cost_usd > 0
    assert sim.bill(RATES) == first.cost_usd + second.cost_usd
    assert by_model(second)[A].items == 5


def test_the_report_says_what_comparisons_cost_and_lists_no_job_of_theirs(
    space: Workspace, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(space.folder)  # stores beside the current folder's jobs are listed, too
    space.run()
    own = report(space.job())
    made = compared(space, A, B, sample=10)
    after = report(space.job())

    assert after.total == own.total
    a, b = by_model(made)[A], by_model(made)[B]
    assert {line.model: line.cost_usd for line in after.comparisons} == {A: 0, B: b.cost_usd}
    assert a.cost_usd > 0
    write_page(space.job(), space.folder / "report.html", name="job")
    html = (space.folder / "report.html").read_text(encoding="utf-8")
    (link,) = re.findall(r'<a href="([^"]*comparison\.html)"', html)
    assert "Agreement" in (space.folder / link).read_text(encoding="utf-8")
    (line,) = report_all((space.folder,))
    assert (line.job, line.comparisons_usd) == ("job", made.cost_usd)
    assert line.cost_usd + line.comparisons_usd == sim.bill(RATES)


def test_purge_removes_the_stores_unless_a_comparison_works(space: Workspace) -> None:
    compared(space, A, B, sample=5)
    folder = space.job().comparisons_folder
    (store, _) = sorted(folder.glob("*.db"))
    assert store.stat().st_mode & 0o077 == folder.parent.stat().st_mode & 0o077 == 0
    lock = Lock(store.with_suffix(".lock"))
    with pytest.raises(StoreBusyError):
        purge(space.job(), yes=True, console=Silence())
    lock.release()
    purge(space.job(), yes=True, console=Silence())
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ((A,), "name two or more different models"),
        ((A, A), "name two or more different models"),
        (
            (A, "openai/gpt-5"),
            r"--models openai/gpt-5: .*job.yaml:\d+: model.temperature: .*remove it",
        ),
        ((A, "openai/no-such-model-9"), "--models openai/no-such-model-9: .*price"),
    ],
    ids=["one", "twice", "parameter", "unpriced"],
)
def test_what_a_model_cannot_do_is_said_before_anything_is_spent(
    tmp_path: Path, sim: Simulator, models: tuple[str, ...], words: str
) -> None:
    space = job_of(tmp_path, sim)
    text = space.job_path.read_text()
    start, end = text.index(f", base_url: '{space.url}'"), text.index(", max_tokens")
    text = text[:start] + ", temperature: 0.2" + text[end:]
    space.job_path.write_text(text)
    with pytest.raises(BatchaiError, match=words):
        asyncio.run(compare(loaded(space), jobs(space, *models)))
    assert not sim.received
    assert not (tmp_path / ".batchai" / "job.compare").exists()


def test_a_missing_key_is_found_before_the_first_model_is_paid(
    space: Workspace, sim: Simulator
) -> None:
    found = jobs(space, A, B)
    step = found[1].steps[0]
    keyed = step.model.model_copy(update={"api_key_env": "NOT_SET_ANYWHERE"})
    found[1] = found[1].model_copy(update={"steps": (step.model_copy(update={"model": keyed}),)})
    with pytest.raises(BatchaiError, match="NOT_SET_ANYWHERE"):
        asyncio.run(compare(loaded(space), found))
    assert not sim.received


def test_without_a_budget_somebody_must_say_yes(space: Workspace, sim: Simulator) -> None:
    with pytest.raises(RefusedError, match=r"60 requests to 2 models, about \$.*--budget"):
        compared(space, A, B, budget=None)
    assert not sim.received
    assert compared(space, A, B, budget=None, yes=True).exit_code == 0
    assert compared(space, A, B, budget=None).spent_usd == 0  # nothing to ask about


def test_an_input_that_is_read_once_is_refused(space: Workspace) -> None:
    text = space.job_path.read_text().replace("{path: data.csv, key: id}", "{path: '-'}")
    space.job_path.write_text(text)
    with pytest.raises(SpecError, match="is read once for each model"):
        compared(space, A, B)


def test_the_command_prints_text_json_and_a_page(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(space.job_path), "--models", f"{A},{B},{C}", "--budget", "1"]
    assert main(command) == 0
    text = capsys.readouterr().out
    for words in (
        "3 models over 30 items of job",
        "100 %",
        "97 %",
        "83 %",
        "mood taken for",
        "bad → good",
        "the models differ on 5 of 30 items",
        "not compared, since it is free text: why",
        "openai/gpt-5.5: 1 invalid",
    ):
        assert words in text
    page = space.folder / "models.html"
    assert main([*command, "--json", "--html", str(page)]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [
        e.message for e in jsonschema_rs.validator_for(json_shape("compare")).iter_errors(value)
    ] == []
    assert value["schema_version"] == 1
    assert value["spent_usd"] == "0"
    assert isinstance(value["models"][0]["cost_per_1000_usd"], str)
    html = page.read_text()
    assert html.startswith("<!doctype html>")
    assert "batchai report</title>" in html
    assert main([*command, "--html", str(space.job_path)]) == 2
    assert "is no report of batchai" in capsys.readouterr().err


def test_what_models_and_data_wrote_is_no_markup(tmp_path: Path) -> None:
    def answer(request: SimRequest) -> str:
        return json.dumps({"mood": f"{HOSTILE}{request.model}"})

    with pytest.MonkeyPatch.context() as patch, Simulator(Settings(answer=answer)) as sim:
        patch.setenv("SIM_KEY", KEY)
        space = Workspace(tmp_path, sim.openai_url, top="expect: {mood: gold}")
        space.write_rows([{"id": HOSTILE, "text": "x", "gold": HOSTILE}])
        space.write_job(schema="{mood: string}")
        made = compared(space, A, B)
    assert made.differing == 1
    html = comparison_html(made)
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\u202e" not in comparison_text(made) + json_text(made)


async def test_the_page_breaks_no_rule_of_its_own_and_fits_a_phone(
    space: Workspace, tmp_path: Path
) -> None:
    options = CompareOptions(sample=8)
    made = await compare(loaded(space), jobs(space), options)
    path = tmp_path / "models.html"
    path.write_text(comparison_html(made), encoding="utf-8")
    async with browser_page(tmp_path) as page:
        await page.send(
            "Emulation.setDeviceMetricsOverride",
            width=390,
            height=800,
            deviceScaleFactor=1,
            mobile=True,
        )
        await page.open(path)
        assert await page.value("document.documentElement.scrollWidth") <= 390
        rows = "[...document.querySelectorAll('main table tbody tr')].map(r => r.innerText)"
        assert any("gpt-5.4-nano" in row for row in await page.value(rows))
        assert await page.value("getComputedStyle(document.querySelector('.card')).borderRadius")
        assert page.complaints == []


SCHEMA = "schema: {mood: [good, bad], why: string}"


def job_of_steps(folder: Path, sim: Simulator, *steps: str, more: str = "") -> Workspace:
    """The job with these steps in place of its prompt."""
    space = job_of(folder, sim)
    head = space.job_path.read_text().partition("prompt:")[0]
    blocks = "".join(f"  {step}\n" for step in steps)
    space.job_path.write_text(f"{head}steps:\n{blocks}{more}output: out.csv\n")
    return space


def test_a_named_step_is_compared_over_the_same_steps_before_it(
    tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)
    space = job_of_steps(
        tmp_path,
        sim,
        f"first: {{prompt: {{user: '{{{{ item.text }}}} first'}}, {SCHEMA}}}",
        f"second: {{prompt: {{user: '{{{{ item.text }}}} {{{{ steps.first.mood }}}}'}}, {SCHEMA}}}",
        f"third: {{prompt: {{user: '{{{{ item.text }}}} third'}}, {SCHEMA}}}",
        more="expect: {second.mood: gold, third.mood: gold}\n",
    )
    options = CompareOptions(sample=6, step="second")
    made = asyncio.run(compare(loaded(space), jobs(space, A, B), options))

    assert made.exit_code == 0
    assert [(model.items, model.valid) for model in made.models] == [(6, 6), (6, 6)]
    assert [line.field for line in made.models[0].accuracy] == ["mood"]
    sent = Counter((entry.model, entry.prompt.split()[-1]) for entry in sim.received)
    assert sent["gpt-5.4-mini", "first"] == 12  # once for each model
    assert {model for model, last in sent if last in ("good", "bad")} == {
        "gpt-5.4-mini",
        "gpt-5.4-nano",
    }
    assert not any(last == "third" for _, last in sent)
    assert sum(model.cost_usd for model in made.models) < made.cost_usd
    assert comparison_text(made).startswith("2 models at step second over 6 items of job, drawn")
    assert made.spent_usd == made.cost_usd == sim.bill(RATES)
    with pytest.raises(SpecError, match="no such step; the job has first, second, third"):
        asyncio.run(compare(loaded(space), jobs(space, A, B), CompareOptions(step="last")))


def test_a_step_of_several_requests_is_compared_by_what_it_costs(
    tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results are lists, and its requests are no repetitions."""
    monkeypatch.setenv("SIM_KEY", KEY)
    space = job_of_steps(
        tmp_path,
        sim,
        f"first: {{prompt: {{user: '{{{{ item.text }}}} first'}}, {SCHEMA}}}",
        "each: {if: steps.first.mood == 'good', foreach: '[1, 2, 3]', "
        f"prompt: {{user: '{{{{ item.text }}}} {{{{ each }}}}'}}, {SCHEMA}}}",
    )
    made = asyncio.run(compare(loaded(space), jobs(space, A, B), CompareOptions(sample=6)))
    text, page = comparison_text(made), comparison_html(made)

    for model in made.models:
        assert model.items + model.outcomes["skipped"] == 6
        requests = sum(model.attempts.values())
        assert requests >= 3 * model.items > 0
        more = f"{requests - model.items} requests more than items, which are several each"
        assert f"{model.model}: {model.outcomes['skipped']} skipped, {more}" in text
    assert "not compared, since it is a list of results: result" in text
    assert "Nothing is compared" in page
    assert "at step each" in page
