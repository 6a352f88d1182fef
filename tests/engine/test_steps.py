"""Items that go through named steps: what is sent, what is kept, what a change sends again."""

import asyncio
import re
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchai.cli.plans import plan_text
from batchai.cli.words import run_text, trial_text
from batchai.domain import State
from batchai.engine.reduction import groups_of
from batchai.engine.runner import Reason
from batchai.errors import ExportError
from batchai.operations.check import check, unrendered
from batchai.operations.console import StopButton
from batchai.operations.plan import plan
from batchai.operations.run import RunOptions, run_job
from batchai.operations.show import show
from batchai.operations.status import status
from batchai.operations.trial import try_items
from batchai.operations.verify import verify
from batchai.pricing import from_pico
from batchai.reports.job_status import status_text
from batchai.reports.shown import ShownList
from batchai.simulator import Fault, Settings, SimRequest, Simulator
from batchai.spec import find_mistakes
from batchai.store import open_reader
from tests.kit import KEY, Steps, prompts_of

RERUN = RunOptions(yes=True, changed="rerun")
TRIAGE = "triage: {prompt: 'Triage: {{ item.text }}', schema: {urgent: [yes_, no_], key: string}}"


@pytest.fixture
def sim() -> Any:
    with Simulator() as running:
        yield running


@pytest.fixture
def space(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setenv("SIM_KEY", KEY)
    space = Steps(tmp_path, sim.openai_url)
    space.write(6)
    return space


def sent(sim: Simulator, since: int = 0) -> list[str]:
    return sorted(prompts_of(sim.received)[since:])


def test_an_item_goes_through_all_steps_with_earlier_results(space: Steps, sim: Simulator) -> None:
    space.steps(TRIAGE, "draft: {prompt: 'Draft {{ steps.triage.key }} for {{ item.id }}'}").run()

    rows = space.exported()
    assert list(rows[0]) == [
        "id", "text", "triage.urgent", "triage.key", "draft", "_status", "_error"
    ]  # fmt: skip
    assert {f"Draft {row['triage.key']} for {row['id']}" for row in rows} < set(sent(sim))
    assert len(sim.received) == 12
    assert {check.different for check in verify(space.job()).checks} == {0}


def test_the_bill_of_each_step_is_the_servers(space: Steps, sim: Simulator) -> None:
    space.steps(
        TRIAGE, "draft: {foreach: '[1, 2]', prompt: 'Draft {{ each }} {{ item.id }}'}"
    ).run()

    with closing(open_reader(space.job().store_path)) as reader:
        told = {
            step: (number, from_pico(cost))
            for step, number, cost in reader.query(
                "SELECT step, sum(attempts), sum(cost_pico) FROM item_steps WHERE part = 0 "
                "GROUP BY step"
            )
        }
    for step, word in (("triage", "Triage"), ("draft", "Draft")):
        usages = [r.usage for r in sim.received if r.prompt.startswith(word) and r.usage]
        billed = sum(usage.input + 2 * usage.output for usage in usages)
        assert told[step] == (len(usages), Decimal(billed) / 1_000_000)


def test_a_step_whose_condition_does_not_hold_is_skipped(space: Steps, sim: Simulator) -> None:
    draft = "draft: {if: 'item.id == \"k1\"', prompt: 'Draft {{ item.id }}'}"
    end = space.steps(TRIAGE, draft).run()

    assert sent(sim)[0] == "Draft k1"
    assert len(sim.received) == 7
    assert end.counts == {State.SUCCEEDED: 6}
    with closing(open_reader(space.job().store_path)) as reader:
        assert reader.state_counts("draft") == {State.SUCCEEDED: 1, State.SKIPPED: 5}


def test_a_changed_second_prompt_sends_only_the_second_step(space: Steps, sim: Simulator) -> None:
    space.steps(TRIAGE, "draft: {prompt: 'Draft {{ item.id }}'}").run()
    space.steps(TRIAGE, "draft: {prompt: 'Write {{ item.id }}'}").run(options=RERUN)

    assert sent(sim, 12) == [f"Write k{n}" for n in range(6)]


def test_a_changed_first_step_sends_the_second_only_where_it_asks_something_else(
    space: Steps, sim: Simulator
) -> None:
    draft = "draft: {prompt: 'Draft {{ steps.triage.urgent }} {{ item.id }}'}"
    space.steps(TRIAGE, draft).run()
    before = {row["id"]: row["triage.urgent"] for row in space.exported()}
    space.steps(TRIAGE.replace("Triage:", "Sort:"), draft).run(options=RERUN)

    after = {row["id"]: row["triage.urgent"] for row in space.exported()}
    changed = [key for key in before if before[key] != after[key]]
    again = [prompt for prompt in sent(sim, 12) if prompt.startswith("Draft")]
    assert again == sorted(f"Draft {after[key]} {key}" for key in changed)
    assert len(sent(sim, 12)) == 6 + len(changed)


def test_what_was_kept_of_several_steps_is_rerun_when_the_user_says_so_later(
    space: Steps, sim: Simulator
) -> None:
    draft = "draft: {prompt: 'Draft {{ item.id }}'}"
    space.steps(TRIAGE, draft).run()
    space.steps(TRIAGE.replace("Triage:", "Sort:"), draft.replace("Draft", "Write"))
    space.run(options=RunOptions(yes=True, changed="keep"))
    assert len(sim.received) == 12

    space.run(options=RERUN)
    assert Counter(prompt.split()[0] for prompt in sent(sim, 12)) == {"Sort:": 6, "Write": 6}


def test_a_new_step_is_added_to_items_that_are_done(space: Steps, sim: Simulator) -> None:
    space.steps(TRIAGE).run()
    space.steps(TRIAGE, "draft: {prompt: 'Draft {{ item.id }}'}").run()

    assert sent(sim, 6) == [f"Draft k{n}" for n in range(6)]


def test_after_a_failed_step_later_ones_wait_and_earlier_results_stay(tmp_path: Path) -> None:
    def fault(request: SimRequest, _attempt: int) -> Fault | None:
        return Fault.REFUSED if failing and request.prompt == "Draft k1" else None

    failing = [True]
    with Simulator(Settings(faults=fault)) as sim:
        space = Steps(tmp_path, sim.openai_url)
        space.write(3)
        space.steps(
            TRIAGE,
            "draft: {prompt: 'Draft {{ item.id }}'}",
            "check: {prompt: 'Check {{ steps.draft }}'}",
        )
        end = space.run()
        assert end.exit_code == 1
        assert end.counts == {State.SUCCEEDED: 2, State.FAILED: 1}
        failed = space.exported()[1]
        assert (failed["_status"], failed["draft"], failed["check"]) == ("failed", "", "")
        assert failed["triage.key"]
        assert failed["_error"].startswith("draft: refused")

        failing.clear()
        before = len(sim.received)
        assert space.run(options=RunOptions(yes=True, retry=frozenset())).exit_code == 0
    assert len(sim.received) - before == 2  # the draft and its check


def test_a_list_is_fanned_out_and_gathered_in_its_order(space: Steps, sim: Simulator) -> None:
    parts = "parts: {foreach: \"item.text.split(' ')\", prompt: '{{ each_index }}: {{ each }}'}"
    space.steps(parts, "sum: {prompt: '{{ steps.parts | join(\",\") }}'}").run()

    with closing(open_reader(space.job().store_path)) as reader:
        for row in reader.results("parts", "sum"):
            words = row.fields["text"].split(" ")
            assert len(row.result["parts"]) == len(words)
    assert len(sim.received) == sum(len(text.split(" ")) + 1 for text in space.texts.values())
    assert {check.different for check in verify(space.job()).checks} == {0}


def test_a_note_on_an_element_stands_at_the_item(tmp_path: Path) -> None:
    def fault(request: SimRequest, _attempt: int) -> Fault | None:
        return Fault.REFUSED if "two" in request.prompt else None

    with Simulator(Settings(faults=fault)) as sim:
        space = Steps(tmp_path, sim.openai_url)
        space.write({"a": "one two three"})
        space.steps(
            "parts: {foreach: \"item.text.split(' ')\", prompt: 'Part {{ each }}', "
            "schema: {mood: [good, bad]}, on_refused: {mood: bad}}"
        ).run()

    (row,) = space.results()
    assert row.result["parts"][1] == {"mood": "bad"}
    assert "part 2 of 3: fixed values of the job: the model refused" in row.error


def test_a_skipped_step_is_shown_as_such_by_a_trial(space: Steps) -> None:
    draft = "draft: {if: 'item.id == \"k1\"', prompt: 'Draft {{ item.id }}'}"
    trial = asyncio.run(try_items(space.steps(TRIAGE, draft).job(), count=2))

    shown = trial_text(trial, "job", shows_prompts=False)
    assert shown.count("draft: skipped") == 1
    assert "None" not in shown


def test_check_all_renders_every_step_that_needs_no_results(space: Steps) -> None:
    space.write_rows([{"id": "a", "text": "5"}, {"id": "b", "text": "x"}])
    space.steps(
        "a: {prompt: '{{ item.text }}'}",
        "b: {prompt: '{{ 1 / (item.text | int) }}'}",
        "c: {prompt: '{{ steps.a }}'}",
    )

    (mistake,) = check(space.job(), every_item=True)
    assert "data.csv:3: job.yaml: steps.b.prompt" in mistake
    assert unrendered(space.job()) == ("not rendered: c, which takes the results of earlier steps")


def test_an_edited_row_sends_only_the_parts_that_changed(space: Steps, sim: Simulator) -> None:
    space.write({"a": "one two three"})
    space.steps("parts: {foreach: \"item.text.split(' ')\", prompt: 'Part {{ each }}'}").run()
    space.write_rows([{"id": "a", "text": "one 2 three"}])
    space.run()

    assert sent(sim, 3) == ["Part 2"]


def test_turns_are_sent_with_what_was_said_and_condensed(space: Steps, sim: Simulator) -> None:
    space.write({"a": "x"})
    history = f"history: {{summarise_after: 2, model: {space.model_block('openai/gpt-5.4-nano')}}}"
    turns = ", ".join(f"'Turn {n}'" for n in range(1, 5))
    space.steps(f"talk: {{prompt: {{system: Be kind, turns: [{turns}]}}, {history}}}").run()

    received = list(sim.received)
    assert len(received) == 6  # four turns, two summaries
    assert [r.model for r in received].count("gpt-5.4-nano") == 2
    assert received[-1].prompt.startswith("Turn 3")
    (row,) = space.results()
    said = [turn["content"] for turn in row.result["talk"] if turn["role"] == "user"]
    assert said == ["Turn 1", "Turn 2", "Turn 3", "Turn 4"]


def test_a_reduction_grows_a_tree_and_changes_only_where_its_results_do(
    space: Steps, sim: Simulator
) -> None:
    space.write(11)
    note = "note: {prompt: 'Note {{ item.text }}'}"
    total = "total: {reduce: {of: note, fan_in: 4}, prompt: 'Sum {{ results | tojson }}'}"
    assert space.steps(note, total).run().exit_code == 0
    assert [prompt[:3] for prompt in sent(sim)].count("Sum") == 3 + 1  # 11 in fours, then one
    assert len(space.exported_from("out.total.csv")) == 1

    space.run()
    assert len(sim.received) == 15

    rows = [{"id": key, "text": text} for key, text in space.texts.items()]
    space.write_rows([*rows[:-1], {"id": "k10", "text": "edited"}])
    space.run()
    assert len(sim.received) == 15 + 2  # the note and its node, which answers as before


def test_each_account_has_a_gate_of_its_own(space: Steps, sim: Simulator) -> None:
    slow = space.model_block("openai/gpt-5.4-nano")
    space.steps(
        TRIAGE,
        f"draft: {{model: {slow}, prompt: 'Draft {{{{ item.id }}}}'}}",
        top="limits: {requests_per_day: 6}",
    ).run()

    assert Counter(r.model for r in sim.received) == {"gpt-5.4-mini": 6, "gpt-5.4-nano": 6}


@pytest.mark.parametrize(
    ("blocks", "mistake"),
    [
        (["a: {prompt: '{{ steps.b.x }}'}"], r"steps.a.prompt: `steps`: there is no earlier step"),
        (
            [TRIAGE, "b: {prompt: '{{ steps.triag.key }}'}"],
            r"steps.triag is no earlier step; did you mean triage",
        ),
        (
            [TRIAGE, "b: {prompt: '{{ steps.triage.kye }}'}"],
            r"steps.triage.kye is no field of its result; did you mean key",
        ),
        ([TRIAGE, "b: {if: steps.b.x, prompt: x}"], r"job.yaml:\d+: steps.b.if: steps.b is no"),
        (["a: {prompt: '{{ each }}'}"], r"`each` is unknown here: it is an element of `foreach`"),
        (["a: {prompt: x, foreech: item.x}"], "steps.a.foreech: unknown field; did you mean for"),
        (["a-b: {prompt: x}"], "a-b is no name for a step"),
        (["a: {reduce: b, prompt: x}"], "steps.a.reduce: b is no earlier step"),
        ([TRIAGE, "b: {reduce: triage, prompt: '{{ item.x }}'}"], "`item` is unknown: a reduction"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_is_told_with_its_line(
    tmp_path: Path, blocks: list[str], mistake: str
) -> None:
    space = Steps(tmp_path, "http://127.0.0.1:9")
    space.write(1)
    space.steps(*blocks)
    assert re.search(mistake, "\n".join(find_mistakes(space.job_path)))


def test_failed_groups_are_told_by_the_run_the_status_and_show(tmp_path: Path) -> None:
    def fault(request: SimRequest, _attempt: int) -> Fault | None:
        return Fault.REFUSED if request.prompt == "Sum k1" else None

    with Simulator(Settings(faults=fault)) as sim:
        space = Steps(tmp_path, sim.openai_url)
        space.write(3)
        total = "total: {reduce: {of: note, by: item.id}, prompt: 'Sum {{ group }}'}"
        end = space.steps("note: {prompt: 'Note {{ item.text }}'}", total).run()
    assert end.exit_code == 1
    assert run_text(end, "job").startswith("3 succeeded\n")  # and none was done before
    told = [
        "reduction total: 3 groups · 1 failed · 2 succeeded",
        "  k1  refused  node 1: the model refused",
        "  all: batchai show job total",
    ]
    for text in (run_text(end, "job"), status_text(status(space.job()), "job")):
        assert "\n".join(told) in text
    shown = show(space.job(), key="total")
    assert isinstance(shown, ShownList)
    assert [(line.key, line.kind) for line in shown.lines] == [
        ("k0", "succeeded"),
        ("k1", "refused"),
        ("k2", "succeeded"),
    ]


def test_the_file_of_a_reduction_is_verified_and_never_taken_from_another_hand(
    space: Steps, sim: Simulator
) -> None:
    space.steps(
        "note: {prompt: 'Note {{ item.text }}'}",
        "total: {reduce: note, prompt: 'Sum {{ results | tojson }}'}",
    )
    file = space.folder / "out.total.csv"
    file.write_text("mine\n")
    with pytest.raises(ExportError, match=re.escape("out.total.csv")):
        space.run()
    assert not sim.received

    file.unlink()
    space.run()
    assert {check.different for check in verify(space.job()).checks} == {0}
    file.write_text(file.read_text().replace("Sum", "Some"))
    found = {check.name: check.different for check in verify(space.job()).checks}
    assert (found["export"], found["export of total"]) == (0, 1)


@pytest.mark.parametrize(
    ("blocks", "mistake"),
    [
        (["a: {if: item.txt, prompt: x}"], "a.if: .*data.csv has no column 'txt'; did you mean"),
        (["a: {foreach: item.txt, prompt: x}"], "a.foreach: .*data.csv has no column 'txt'"),
        (["a: {prompt: {turns: item.txt}}"], "a.prompt: .*data.csv has no column 'txt'"),
        (
            ["a: {prompt: x}", "b: {reduce: {of: a, by: item.txt}, prompt: x}"],
            "b.reduce.by: .*data.csv has no column 'txt'",
        ),
        (
            ["a: {prompt: x}", "b: {reduce: {of: a, by: item.text + 1}, prompt: x}"],
            r"data.csv:2: job.yaml: steps.b.reduce.by: .*; write `by` so that",
        ),
    ],
)
def test_expressions_are_checked_against_the_input(
    space: Steps, blocks: list[str], mistake: str
) -> None:
    assert re.search(mistake, "\n".join(check(space.steps(*blocks).job())))


def test_groups_by_rows_that_are_not_kept_are_refused(space: Steps) -> None:
    space.steps(
        "a: {prompt: x}",
        "b: {reduce: {of: a, by: item.text}, prompt: x}",
        top="retain: {items: false}",
    )
    assert "steps.b.reduce.by: groups by the items' rows" in "\n".join(check(space.job()))
    assert unrendered(space.job()).startswith("not rendered: b,")


async def test_a_plan_says_what_each_step_would_send(space: Steps) -> None:
    space.steps(
        TRIAGE,
        "draft: {prompt: 'Draft {{ steps.triage.key }}'}",
        "total: {reduce: draft, prompt: 'Sum {{ results | tojson }}'}",
    )
    text = plan_text(await plan(space.job()), "job")
    assert re.search(r"\n  triage \(requests\) +6 +\$0\.0", text)
    assert re.search(r"\n  draft \(requests\) +6 +\$0\.0", text)
    assert re.search(r"\n  total \(requests\) +1 +\$0\.0", text)


@pytest.mark.parametrize("presses", [1, 2], ids=["drain", "leave"])
def test_a_stop_between_items_and_their_reduction_is_heard(
    space: Steps, sim: Simulator, monkeypatch: pytest.MonkeyPatch, presses: int
) -> None:
    space.steps(TRIAGE, "total: {reduce: triage, prompt: 'Sum {{ results | tojson }}'}")
    stop = StopButton()

    def pressed(*found: Any) -> Any:  # while a thread reads what there is to reduce
        for _ in range(presses):
            stop.press()
        return groups_of(*found)

    with monkeypatch.context() as patched:
        patched.setattr("batchai.operations.reducing.groups_of", pressed)
        end = asyncio.run(run_job(space.job(), RunOptions(yes=True), stop=stop))

    assert (end.end.reason, end.exit_code, len(sim.received)) == (Reason.INTERRUPTED, 130, 6)
    assert space.run().run.id == end.run.id
    assert len(sim.received) == 7


def test_steps_may_all_be_renamed_over_the_same_items(space: Steps, sim: Simulator) -> None:
    for sends, names in enumerate((["old"], ["new"], ["first", "second"]), 1):
        space.steps(*(f"{name}: {{prompt: 'Sort {{{{ item.id }}}}'}}" for name in names))
        end = space.run(options=RERUN)
        assert (end.end.reason, end.counts) == (Reason.FINISHED, {State.SUCCEEDED: 6})
        assert list(space.exported()[0])[2:-2] == names
        assert len(sim.received) == 6 * sends + 6 * (len(names) - 1)
    assert verify(space.job()).different == 0
