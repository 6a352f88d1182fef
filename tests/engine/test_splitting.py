"""`on_too_long: split`: what is sent in place of a prompt that does not fit, and what of it."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from batchai.operations.report import report
from batchai.operations.run import RunOptions
from batchai.operations.verify import verify
from batchai.simulator import Fault, Rates, Settings, SimRequest, Simulator
from batchai.spec import find_mistakes
from tests.kit import Workspace

RATES = Rates(input_mtok=Decimal(1), output_mtok=Decimal(2))
WINDOW = 1000
SENTENCES = [f"Sentence {n} says something of its own. " for n in range(80)]
LONG = "".join(SENTENCES)  # four windows


def _window(request: SimRequest, _index: int) -> Fault | None:
    return Fault.CONTEXT_EXCEEDED if len(request.prompt) > WINDOW else None


def _listed(request: SimRequest) -> str:
    """Every sentence of a prompt: what was joined shows what was read, and in what order."""
    said = [n for n, sentence in enumerate(SENTENCES) if sentence.strip() in request.prompt]
    return json.dumps({"said": said})


def _space(
    folder: Path, sim: Simulator, top: str = "on_too_long: split", schema: str = ""
) -> Workspace:
    space = Workspace(folder, sim.openai_url, top=f"{top}\nstop_if: none")
    return space.write({"short": "fits", "long": LONG}).write_job(schema=schema)


def _served(sim: Simulator) -> list[str]:
    return [request.prompt for request in sim.received if len(request.prompt) <= WINDOW]


def test_a_prompt_that_does_not_fit_is_asked_in_parts_and_then_over_their_answers(
    tmp_path: Path,
) -> None:
    with Simulator(Settings(faults=_window)) as sim:
        space = _space(tmp_path, sim)
        assert space.run().exit_code == 0
        bill = sim.bill(RATES)
        served = [prompt for prompt in _served(sim) if prompt != "Classify: fits"]

    *parts, last = served
    prefix = "Classify: "
    assert all(prompt.startswith(prefix) for prompt in served)
    texts = [prompt.removeprefix(prefix).strip() for prompt in parts]
    assert " ".join(sorted(texts, key=LONG.index)) == LONG.strip()
    assert len(parts) == 4
    assert last.startswith("Classify: (The text was too long to be read at once.")
    assert last.count('{"mood":"') == 4
    assert "Part 4 of 4:" in last

    short, split = space.results()
    assert set(split.result) == {"mood"}
    assert split.error == "too_long: item.text was split to fit the context window"
    assert short.error == ""
    made = report(space.job())
    (line,) = made.policies
    # two halves that do not fit either, four quarters, and the request over their answers
    assert (line.policy, line.attempts, line.items_rescued) == ("on_too_long", 7, 1)
    assert 0 < line.cost_usd < made.total.cost_usd == bill
    assert {check.different for check in verify(space.job()).checks} == {0}


def test_joined_lists_and_texts_are_in_the_order_of_the_text(tmp_path: Path) -> None:
    with Simulator(Settings(faults=_window, answer=_listed)) as sim:
        space = _space(tmp_path, sim, "on_too_long: {split: join}", "{said: list of integer}")
        assert space.run().exit_code == 0
        assert len(_served(sim)) == 1 + 4  # nothing is asked over the answers

    assert space.results()[1].result == {"said": list(range(80))}


def test_joined_answers_that_are_no_result_fail_the_item(tmp_path: Path) -> None:
    schema = "{said: {type: array, items: {type: integer}, maxItems: 30}}"
    with Simulator(Settings(faults=_window, answer=_listed)) as sim:
        space = _space(tmp_path, sim, "on_too_long: {split: join}", schema)
        assert space.run().failures == {"invalid": 1}

    assert space.results()[1].error.startswith("invalid: the joined answers: ")


def test_where_the_data_is_too_small_a_part_of_the_prompt_nothing_is_split(tmp_path: Path) -> None:
    with Simulator(Settings(faults=_window)) as sim:
        space = _space(tmp_path, sim)
        space.write({"a": "little"}).write_job(prompt="much " * 500 + "{{ item.text }}")
        assert space.run().failures == {"rejected": 1}
        assert len(sim.received) == 1
    assert "no text of the item can be cut so that it fits" in space.results()[0].error


def test_a_job_of_nothing_but_long_items_goes_through(tmp_path: Path) -> None:
    with Simulator(Settings(faults=_window)) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="on_too_long: split")
        space.write({f"k{n}": f"{n} {LONG}" for n in range(30)})
        assert space.run().exit_code == 0
    assert {row.state for row in space.results()} == {"succeeded"}


def test_a_failed_part_fails_the_item_and_a_retry_sends_only_that_one(tmp_path: Path) -> None:
    failing = [True]

    def faults(request: SimRequest, index: int) -> Fault | None:
        if failing and "Sentence 33 " in request.prompt and len(request.prompt) <= WINDOW:
            return Fault.REFUSED
        return _window(request, index)

    with Simulator(Settings(faults=faults)) as sim:
        space = _space(tmp_path, sim)
        assert space.run().failures == {"refused": 1}
        assert "part 2 of 4 of item.text: the model refused" in space.results()[1].error

        failing.clear()
        before = len(sim.received)
        assert space.run(options=RunOptions(yes=True, retry=frozenset())).exit_code == 0
        again = [request.prompt for request in sim.received[before:]]
    # nothing that is known not to fit; the part, and over the answers
    assert [("Sentence 33 " in prompt, len(prompt) <= WINDOW) for prompt in again] == [
        (True, True), (False, True),
    ]  # fmt: skip


def test_a_retry_asks_anew_what_has_changed_since_it_was_too_long(tmp_path: Path) -> None:
    """Parts of another text tell nothing of this one, which fits."""
    refusing = [True]

    def fault(request: SimRequest, index: int) -> Fault | None:
        return _window(request, index) or (Fault.REFUSED if refusing else None)

    with Simulator(Settings(faults=fault)) as sim:
        space = _space(tmp_path, sim).write({"long": LONG})
        assert space.run().failures == {"refused": 1}

        refusing.clear()
        before = len(sim.received)
        space.write({"long": LONG[: WINDOW // 2]})
        assert space.run(options=RunOptions(yes=True, retry=frozenset())).exit_code == 0
        assert len(sim.received) == before + 1


def test_an_equal_item_takes_what_the_parts_came_to(tmp_path: Path) -> None:
    with Simulator(Settings(faults=_window)) as sim:
        space = _space(tmp_path, sim, "on_too_long: split\ndedupe: true")
        space.write({"a": LONG, "b": LONG})
        assert space.run().exit_code == 0
        assert len(_served(sim)) == 4 + 1
    first, second = space.results()
    assert first.result == second.result


def test_a_note_on_a_part_stands_at_the_item(tmp_path: Path) -> None:
    def refused(request: SimRequest, index: int) -> Fault | None:
        is_part = "Sentence 33 " in request.prompt and len(request.prompt) <= WINDOW
        return Fault.REFUSED if is_part else _window(request, index)

    with Simulator(Settings(faults=refused)) as sim:
        space = _space(tmp_path, sim, "on_too_long: split\non_refused: {mood: bad}")
        assert space.run().exit_code == 0

    error = space.results()[1].error
    assert error.startswith("refused: item.text was split to fit the context window; part 2 of 4 ")
    assert "part 2 of 4 of item.text: fixed values of the job: the model refused" in error
    assert report(space.job()).fixed == 1  # as where the whole had been refused


@pytest.mark.parametrize(
    ("job", "mistake"),
    [
        (
            "steps: {a: {foreach: item.text | chunks(9), prompt: x, on_too_long: split}}",
            "split is for steps of one request, and a has `foreach`: make its elements smaller",
        ),
        (
            "on_too_long: split\nsteps: {a: {prompt: {turns: [x, y]}}}",
            "split is for steps of one request, and a has `turns`: shorten what its turns say",
        ),
        (
            "prompt: x\non_too_long: {split: join}\nschema: {mood: [good, bad]}",
            "join: mood is no text and no list, and its parts' answers may differ: say split alone",
        ),
        ("prompt: x\non_too_long: {split: sum}", "split: must be ask or join"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_told_with_its_reason(
    tmp_path: Path, job: str, mistake: str
) -> None:
    path = tmp_path / "job.yaml"
    (tmp_path / "data.csv").write_text("id,text\n1,a\n")
    path.write_text(f"input: data.csv\nmodel: openai/gpt-5.4-mini\n{job}\n")
    (found,) = find_mistakes(path)
    assert mistake in found
