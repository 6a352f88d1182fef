"""Who is told how a run goes, of what, and that a run never suffers from it."""

import asyncio
import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.cli import main
from batchai.limits import Budget
from batchai.operations import messengers, steer
from batchai.operations.changes import approach_to, begin_scan
from batchai.operations.launch import Launch
from batchai.operations.notify import Marks, Notifier
from batchai.operations.run import run_job
from batchai.reports.notice import News
from batchai.simulator import Settings, Simulator
from tests.engine.rig import Rig, rig, texts
from tests.kit import KEY, Workspace
from tests.operations.hooks import Hook, hook
from tests.operations.launching import launched
from tests.virtual import run_virtual

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(Settings()) as running:
        yield running


@pytest.fixture
def webhook() -> Iterator[Hook]:
    with hook() as found:
        yield found


@pytest.fixture
def space(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(10)


def declare(space: Workspace, notify: str, *, trusts: bool = True) -> None:
    (space.folder / "batchai.yaml").write_text(f"notify: {notify}\n")
    if trusts:
        assert main(["notify", "--trust"]) == 0


def test_the_end_of_a_run_is_told_with_counts_and_costs_and_nothing_else(
    space: Workspace, webhook: Hook
) -> None:
    declare(space, f"{{webhook: '{webhook.url}/end'}}")
    summary = space.run()
    (body,) = webhook.posted
    assert (body["event"], body["job"], body["run"]) == ("ended", "job", 1)
    assert body["items"] == {"succeeded": 10}
    assert Decimal(body["cost_usd"]) == summary.run.cost
    assert (body["budget_usd"], body["exit_code"], body["reason"]) == ("1", 0, None)
    assert body["next"] == "batchai report job"
    assert body["text"].startswith("job: finished · 10 succeeded · $")
    assert "text number" not in (words := json.dumps(body))
    assert KEY not in words


def test_a_budget_is_told_at_a_half_and_at_nine_tenths_and_when_it_stops_the_run(
    space: Workspace, webhook: Hook
) -> None:
    space.top = "budget_usd: 0.02"
    space.write(400)
    declare(space, f"{{webhook: '{webhook.url}'}}")
    assert space.run().exit_code == 3
    told = {body["event"]: body for body in webhook.posted}
    assert sorted(webhook.events) == ["budget_50", "budget_90", "stopped"]
    assert told["budget_50"]["next"] == "batchai status job"
    assert told["stopped"]["reason"] == "budget"
    assert told["stopped"]["next"] == "batchai run job --budget AMOUNT"
    assert "the budget is used up" in told["stopped"]["text"]


def test_only_news_that_were_asked_for_are_told(space: Workspace, webhook: Hook) -> None:
    declare(space, f"{{webhook: '{webhook.url}', on: stopped}}")
    assert space.run().exit_code == 0
    assert webhook.events == []


def test_a_run_that_the_user_stops_is_no_news(
    space: Workspace, sim: Simulator, webhook: Hook
) -> None:
    declare(space, f"{{webhook: '{webhook.url}'}}")
    sim.hold()
    with launched(space):
        sim.wait_for(4, timeout_seconds=120)
        steer.stop(space.job(), "job")
        sim.release()
    assert webhook.events == []


def test_nobody_is_told_before_the_user_has_looked_and_again_after_a_change(
    space: Workspace, webhook: Hook, capsys: Printed
) -> None:
    for path in ("/first", "/changed"):
        declare(space, f"{{webhook: '{webhook.url}{path}'}}", trusts=False)
        assert main(["run", "job"]) == 0
        assert "batchai notify --trust" in capsys.readouterr().err
        assert main(["notify", "--test"]) == 2
        assert main(["notify"]) == 0
        assert f"webhook: {webhook.url}{path}" in (shown := capsys.readouterr().out)
        assert "not trusted yet" in shown
        assert main(["notify", "--trust"]) == 0
        space.write(11)
    assert webhook.events == []
    assert main(["run", "job"]) == 0
    assert webhook.events == ["ended"]


def test_a_program_gets_the_news_on_its_standard_input(space: Workspace) -> None:
    told = space.folder / "told.json"
    declare(space, f"{{command: [sh, -c, 'cat > \"$0\"', '{told}']}}")
    assert space.run().exit_code == 0
    assert json.loads(told.read_text())["event"] == "ended"


@pytest.mark.parametrize(
    ("notify", "problem"),
    [
        ("{command: [sh, -c, exit 3]}", "command sh: exited with 3"),
        ("{command: [no-such-program]}", "command no-such-program: No such file"),
        ("{command: [sh, -c, sleep 60 & sleep 60]}", "command sh: took longer than"),
        ("{webhook: 'URL/slow'}", "webhook: took longer than"),
        ("{webhook: 'http://127.0.0.1:9/x'}", "webhook: 127.0.0.1: "),
        ("{webhook: '${NO_SUCH_TOKEN}'}", "NO_SUCH_TOKEN is not set"),
        ("{webhook: 'https://${WHERE_KEY}/'}", "must be an address"),
    ],
    ids=["fails", "missing", "hangs", "slow", "nobody there", "no variable", "no address"],
)
def test_a_notifier_that_fails_or_hangs_is_logged_and_harms_nothing(
    space: Workspace,
    webhook: Hook,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    notify: str,
    problem: str,
) -> None:
    monkeypatch.setattr(messengers, "_SECONDS", 0.3 if "longer" in problem else 30)
    monkeypatch.setenv("WHERE_KEY", "169.254.169.254")
    webhook.may_answer.clear()
    declare(space, notify.replace("URL", webhook.url))
    assert space.run().exit_code == 0
    (record,) = caplog.records
    assert problem in record.getMessage()


@pytest.mark.parametrize("status", [307, 500], ids=["elsewhere", "error"])
def test_a_secret_of_an_address_comes_from_a_variable_and_is_never_logged_nor_passed_on(
    space: Workspace,
    webhook: Hook,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "quite-a-secret")
    webhook.status = status
    caplog.set_level(logging.DEBUG, "batchai")
    declare(space, f"{{webhook: '{webhook.url}/${{HOOK_TOKEN}}'}}")
    assert space.run().exit_code == 0
    assert webhook.paths == ["/quite-a-secret"]
    assert f"webhook: 127.0.0.1 answered HTTP {status}" in caplog.text
    assert "quite-a-secret" not in caplog.text


def test_services_of_apprise_are_told_too(space: Workspace, webhook: Hook) -> None:
    pytest.importorskip("apprise")
    address = webhook.url.removeprefix("http://")
    declare(space, f"{{apprise: 'json://{address}/', on: [ended]}}")
    assert space.run().exit_code == 0
    (body,) = webhook.posted
    assert body["title"] == "batchai: job"
    assert body["message"].startswith("job: finished · 10 succeeded")


def test_a_test_tells_everybody_once_and_says_how_it_went(
    space: Workspace, webhook: Hook, capsys: Printed
) -> None:
    declare(space, f"{{webhook: '{webhook.url}'}}")
    assert main(["notify", "--test"]) == 0
    assert "test: all were told" in capsys.readouterr().out
    assert webhook.events == ["test"]
    webhook.status = 404
    assert main(["notify", "--test"]) == 1
    assert "test: webhook: 127.0.0.1 answered HTTP 404" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("notify", "problem"),
    [
        ("{on: ended}", "notify: names nobody to tell"),
        ("{webhook: 'http://example.com/x'}", "notify.webhook: must begin with https://"),
        ("{webhook: 'https://169.254.169.254/x'}", "notify.webhook: must be an address"),
        ("{apprise: slack}", "notify.apprise: must be an address"),
        ("{webhook: 'https://x.y/sk-ant-aaaaaaaaaaaaaaaaaaaaaaaa'}", "write ${NAME}"),
        ("{command: [], on: ended}", "notify.command: must name a program"),
        ("{webhook: 'https://x.y/', on: [end]}", "must be ended, stopped, stalled, budget_50 or"),
    ],
    ids=["nobody", "plain http", "metadata", "no url", "key", "no program", "event"],
)
def test_what_is_wrong_in_it_is_said_with_its_place(
    space: Workspace, capsys: Printed, notify: str, problem: str
) -> None:
    declare(space, notify, trusts=False)
    assert main(["check", "job"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("batchai.yaml:1: ")
    assert problem in said
    assert "sk-ant" not in said


def test_a_job_file_declares_nobody(space: Workspace, capsys: Printed) -> None:
    space.top = "notify: {command: [sh]}"
    space.write_job()
    assert main(["check", "job"]) == 2
    assert "unknown field" in capsys.readouterr().err


def test_a_larger_budget_has_marks_of_its_own() -> None:
    told: list[News] = []
    budget = Budget(Decimal(10), spent=Decimal(6))
    Marks(budget, lambda news, **_: told.append(news))
    budget.settle(Decimal(0), cost=Decimal(1), unconfirmed=Decimal(0))
    assert told == []  # a half was used up before
    budget.limit = Decimal(100)
    budget.settle(Decimal(0), cost=Decimal(40), unconfirmed=Decimal(5))
    assert told == [News.BUDGET_50]
    budget.limit = None
    budget.settle(Decimal(0), cost=Decimal(400), unconfirmed=Decimal(0))
    assert told == [News.BUDGET_50]


class Heard(Notifier):
    """Remembers what it is to tell."""

    def __init__(self, it: Rig) -> None:
        opened = it.opened
        super().__init__(opened.job, it.reader, console=opened.console, clock=opened.clock)
        self.news: list[tuple[News, str | None]] = []

    def tell(self, news: News, *, reason: str | None = None, exit_code: int | None = None) -> None:
        assert exit_code is None
        self.news.append((news, reason))


def test_a_run_in_which_nothing_moves_is_told_and_a_paused_one_is_not(tmp_path: Path) -> None:
    async def night(*, is_paused: bool) -> list[tuple[News, str | None]]:
        async with rig(tmp_path, texts(4)) as it:
            it.script.latency_seconds = 500
            approach = approach_to(it.opened.job, it.opened.source, it.reader, changed=None)
            begin_scan(it.store, approach)
            _, run = it.launch()
            heard = Heard(it)
            launch = Launch(it.opened, run, it.progress, notifier=heard)
            working = asyncio.create_task(launch.work(approach))
            if is_paused:
                await launch.control.pause()
                await it.opened.clock.sleep(5_000)
                it.stop.press()
            await working
            return heard.news

    assert run_virtual(night(is_paused=True)) == []
    ((news, reason),) = run_virtual(night(is_paused=False))
    assert news is News.STALLED
    assert reason is not None
    assert "4 requests in flight" in reason


def test_a_run_from_python_is_told_too(space: Workspace, webhook: Hook) -> None:
    declare(space, f"{{webhook: '{webhook.url}'}}")
    assert asyncio.run(run_job(space.job())).exit_code == 0
    assert webhook.events == ["ended"]
