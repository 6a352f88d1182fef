"""Items to look at: whole, listed, unknown, mistyped, hostile."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchai.errors import SpecError, StoreError
from batchai.operations import show as operation
from batchai.operations.report import report
from batchai.operations.report_page import write_page
from batchai.operations.run import RunOptions
from batchai.reports.shown import Shown, ShownItem, ShownList
from batchai.simulator import Fault, Settings, SimRequest, Simulator
from batchai.spec.models import Job
from batchai.store import aggregates, open_reader
from tests.kit import KEY, PRICE, Workspace
from tests.operations.reported import Made, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIM_KEY", KEY)
        yield make(tmp_path_factory.mktemp("shown"))


@pytest.fixture
def job(made: Made) -> Job:
    return made.space.job()


def _item(job: Job, key: str) -> ShownItem:
    shown = operation.show(job, key=key)
    assert isinstance(shown, ShownItem)
    return shown


def _list(job: Job, **options: object) -> ShownList:
    shown = operation.show(job, **options)  # type: ignore[arg-type]
    assert isinstance(shown, ShownList)
    return shown


def test_an_item_is_shown_with_prompt_result_attempts_and_cost(job: Job) -> None:
    shown = _item(job, "k7")
    assert [turn.content for turn in shown.prompt.turns] == ["Classify: text 7 end"]
    assert shown.prompt.as_sent is True
    assert [attempt.outcome for attempt in shown.attempts] == [
        "truncated",
        "succeeded",
        "succeeded",
    ]
    assert [attempt.number for attempt in shown.attempts] == [1, 2, 3]
    assert shown.item.cost_usd == sum(attempt.cost_usd for attempt in shown.attempts) > 0
    text = operation.to_text(shown, "job")
    assert text.startswith("k7 · succeeded · 3 attempts · $0.0")
    assert "\nprompt, user\n  Classify: text 7 end\n" in text
    assert "\nresult of gpt-5.5-2026-10-01\n  mood: " in text


def test_a_failed_item_shows_why_what_was_answered_and_what_to_type_next(job: Job) -> None:
    text = operation.to_text(_item(job, "k5"), "job")
    assert text.startswith("k5 · invalid · 6 attempts · $")
    assert '\nwhy\n  mood: value is not of type "string"' in text
    assert text.count('answer: {"mood": {"violates": "the schema"}}') == 6
    assert text.endswith("next: batchai run job --retry invalid")
    assert "--retry" not in operation.to_text(_item(job, "k3"), "job")


def test_failures_are_counted_by_kind_and_listed_with_reasons(job: Job) -> None:
    shown = _list(job, failed=True)
    assert shown.failures == {"refused": 1, "invalid": 1}
    assert [(line.key, line.kind) for line in shown.lines] == [("k3", "refused"), ("k5", "invalid")]
    text = operation.to_text(shown, "job")
    head = text.splitlines()[:2]
    assert head[0] == "38 succeeded · 2 failed"
    assert head[1].startswith("failed: ")
    assert "the model refused" in text
    assert text.endswith("next: batchai show job k3")


@pytest.mark.parametrize("option", ["key", "kind"])
def test_a_kind_may_stand_in_the_place_of_a_key(job: Job, option: str) -> None:
    assert [line.key for line in _list(job, **{option: "invalid"}).lines] == ["k5"]
    assert _list(job, **{option: "succeeded"}).matching == 38
    assert _list(job, **{option: "failed"}).matching == 2
    nothing = _list(job, **{option: "pending"})
    assert operation.to_text(nothing, "job").endswith("no pending items")


def test_where_no_item_ended_with_an_outcome_those_that_got_over_it_are_listed(job: Job) -> None:
    shown = _list(job, kind="truncated")
    assert [(line.key, line.state) for line in shown.lines] == [("k7", "succeeded")]
    assert "\nitems with an attempt that ended truncated:\n" in operation.to_text(shown, "job")
    nothing = operation.to_text(_list(job, kind="timed_out"), "job")
    assert nothing.endswith("no items with an attempt that ended timed_out")


def test_lists_end_at_the_limit_and_say_how_many_there_are(job: Job) -> None:
    shown = _list(job, limit=2)
    assert [line.key for line in shown.lines] == ["k0", "k1"]
    assert "the first 2 of 40 items; more with -n" in operation.to_text(shown, "job")


def test_a_mistyped_key_or_kind_is_answered_with_the_nearest(job: Job) -> None:
    with pytest.raises(
        SpecError, match=r"^job\.yaml: no item has the key 'k38x'; did you mean 'k38'"
    ):
        operation.show(job, key="k38x")
    with pytest.raises(SpecError, match=r"no such kind; did you mean 'invalid'"):
        operation.show(job, kind="invald")


def test_a_large_store_looks_for_the_nearest_among_a_key_s_neighbours(job: Job) -> None:
    reader = open_reader(job.store_path)
    assert sorted(aggregates.keys_near(reader, "k20x", most=39)) == ["k20", "k21"]
    reader.close()


def test_json_has_the_whole_item_with_money_as_strings(job: Job) -> None:
    value = json.loads(operation.to_json(_item(job, "k7")))
    assert value["schema_version"] == 1
    assert value["fields"] == {"id": "k7", "text": "text 7 end", "gold": "GOOD"}
    assert value["prompt"]["turns"] == [{"role": "user", "content": "Classify: text 7 end"}]
    assert isinstance(value["attempts"][0]["cost_usd"], str)
    assert value["item"]["state"] == "succeeded"
    assert len(json.loads(operation.to_json(_list(job)))["lines"]) == 20


def test_a_prompt_that_is_another_now_says_so(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write({"a": "x"})
        space.run()
        space.write_job(prompt="Judge: {{ item.text }}")
    shown = _item(space.job(), "a")
    assert shown.prompt.as_sent is False
    assert "what was sent then was different" in operation.to_text(shown, "job")
    space.write_job(prompt="{{ item.text.no.such }}")
    assert "prompt" in _item(space.job(), "a").prompt.problem


def test_rows_that_are_not_kept_are_not_shown(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="retain: {items: false}").write({"a": "x"})
        space.run()
    shown = _item(space.job(), "a")
    assert shown.fields is None
    assert "does not keep rows" in operation.to_text(shown, "job")


def test_attempts_that_were_never_recorded_are_listed_as_unknown(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="on_unknown: hold").write(6)
        assert operation.to_text(_list_after_run(space, sim), "job").count("not recorded") == 0
        shown = _list(space.job(), unknown=True)
    assert 0 < shown.matching <= 6
    assert all(line.unconfirmed_usd > 0 for line in shown.lines)
    assert [line.key for line in _list(space.job(), key="unknown").lines] == [
        line.key for line in shown.lines
    ]
    item = _item(space.job(), shown.lines[0].key)
    assert item.attempts[0].outcome is None
    assert item.attempts[0].unconfirmed_usd == shown.lines[0].unconfirmed_usd
    assert "not recorded" in operation.to_text(item, "job")


def _list_after_run(space: Workspace, sim: Simulator) -> ShownList:
    """Kill a launch with requests in flight."""
    sim.hold()
    process = space.start("run", "--yes")
    sim.wait_for(4)  # as many as the ramp lets leave at once
    process.kill()
    process.communicate(timeout=120)
    return _list(space.job())


def test_what_data_or_a_model_wrote_cannot_steer_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202egnihtyna\x9b31m"
    answer = json.dumps({"mood": evil})
    with Simulator(Settings(answer=lambda _: answer)) as sim:
        space = Workspace(tmp_path, sim.openai_url)
        space.write({f"k{evil}": f"text {evil}", "b": "x"})
        space.write_job(schema="{mood: string}")
        space.run(options=RunOptions(yes=True))
    job = space.job()
    shown: list[Shown] = [_item(job, f"k{evil}"), _list(job)]
    with pytest.raises(SpecError) as error:
        operation.show(job, key=f"x{evil}")
    texts = [operation.to_text(one, "job") for one in shown]
    texts += [operation.to_json(one) for one in shown]
    for text in [*texts, str(error.value)]:
        assert not set("\x1b\x07\x9b\u202e") & set(text)
        assert "gnihtyna" in text
    assert _item(job, f"k{evil}").item.result == {"mood": evil}


def test_refused_items_keep_their_answers_only_where_the_job_keeps_answers(tmp_path: Path) -> None:
    plan = Settings(faults=lambda *_: Fault.REFUSED)
    with Simulator(plan) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="retain: {answers: false}").write(
            {"a": "x"}
        )
        space.run()
    assert _item(space.job(), "a").attempts[0].answer is None


def test_a_job_that_was_not_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store yet"):
        operation.show(Workspace(tmp_path, "http://127.0.0.1:9/v1").write(1).job())


STEPS = """\
input: {{path: data.csv, key: id}}
model: {{name: openai/gpt-5.4-mini, base_url: '{url}', api_key_env: SIM_KEY, price: {price}}}
steps:
  note: {{prompt: 'Note {{{{ item.text }}}}'}}
  parts: {{foreach: "['a', 'b']", prompt: 'Part {{{{ each }}}} of {{{{ steps.note }}}}'}}
  talk: {{prompt: {{system: Be kind, turns: ['One {{{{ item.id }}}}', Two]}}}}
  last: {{if: 'item.text == "odd"', prompt: 'Last {{{{ item.id }}}}'}}
output: out.csv
stop_if: none
"""


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Item b has failed in its talk, item a has passed all steps but the last, which it skips."""

    def fault(request: SimRequest, _: int) -> Fault | None:
        return Fault.REFUSED if request.prompt == "One b" else None

    with pytest.MonkeyPatch.context() as patch, Simulator(Settings(faults=fault)) as sim:
        patch.setenv("SIM_KEY", KEY)
        space = Workspace(tmp_path_factory.mktemp("steps"), sim.openai_url)
        space.write({"a": "even", "b": "odd", "c": "odd"})
        space.job_path.write_text(STEPS.format(url=sim.openai_url, price=PRICE))
        space.run()
        yield space


def test_all_steps_and_parts_of_an_item_are_shown_in_their_order(stepped: Workspace) -> None:
    shown = _item(stepped.job(), "a")
    assert shown.item.state == "succeeded"  # though its last step was skipped
    assert [(attempt.step, attempt.piece) for attempt in shown.attempts] == [
        ("note", ""),
        ("parts", "part 1"),
        ("parts", "part 2"),
        ("talk", "turn 1"),
        ("talk", "turn 2"),
    ]
    assert shown.item.attempts == 5
    assert shown.item.cost_usd == sum(attempt.cost_usd for attempt in shown.attempts) > 0
    prompts = {step.name: [p.turns for p in step.prompts] for step in shown.steps}
    note = shown.item.result["note"]
    assert [turns[0].content for turns in prompts["parts"]] == [
        f"Part a of {note}",
        f"Part b of {note}",
    ]
    assert [turn.content for turn in prompts["talk"][0]] == ["Be kind", "One a", "Two"]
    assert all(p.as_sent for step in shown.steps[:3] for p in step.prompts)
    text = operation.to_text(shown, "job")
    assert text.startswith("a · succeeded · 5 attempts · $0.0")
    assert "\nstep parts · succeeded · 2 attempts · $0.0" in text
    assert "\nprompt of part 2, user\n  Part b of " in text
    assert "  turn 2: 1  " in text


def test_an_item_that_failed_in_a_step_shows_the_steps_that_it_came_to(stepped: Workspace) -> None:
    shown = _item(stepped.job(), "b")
    assert (shown.item.state, shown.item.kind) == ("failed", "refused")
    assert [step.name for step in shown.steps] == ["note", "parts", "talk"]
    assert "\nwhy\n  turn 1 of 2: the model refused" in operation.to_text(shown, "job")


def test_lists_hold_each_item_once_in_the_state_of_the_whole(stepped: Workspace) -> None:
    job = stepped.job()
    assert [line.key for line in _list(job, kind="succeeded").lines] == ["a", "c"]
    assert [(line.key, line.state) for line in _list(job).lines] == [
        ("a", "succeeded"),
        ("b", "failed"),
        ("c", "succeeded"),
    ]
    assert [line.key for line in _list(job, kind="refused").lines] == ["b"]
    assert _list(job, kind="skipped").matching == 0


def test_the_report_counts_an_item_once_with_the_state_of_the_whole(stepped: Workspace) -> None:
    job = stepped.job()
    items = {item.key: item for item in report(job).costliest}
    assert {key: item.state for key, item in items.items()} == {
        "a": "succeeded", "b": "failed", "c": "succeeded"
    }  # fmt: skip
    assert items["a"].cost_usd == _item(job, "a").item.cost_usd
    path = stepped.folder / "page.html"
    write_page(job, path, name="job.yaml")
    found = re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL)
    assert found is not None
    held = {item["key"]: item for item in json.loads(found[1])["items"]}
    assert len(held) == 3
    assert [turn[0] for turn in held["b"]["prompt"]][:2] == ["note, user", "parts, part 1, user"]
    assert held["b"]["tries"][-1][1] == "talk · turn 1 · refused"
    assert held["a"]["state"] == "succeeded"
