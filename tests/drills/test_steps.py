"""Promises 2 and 3 for jobs of several steps: a list fanned out, a text split, a conversation, a
reduction, killed at random with fresh seeds. The server's own record is the judge.
"""

import random
from pathlib import Path

from batchai.operations.verify import verify
from batchai.simulator import Fault, Latency, Settings, SimRequest, Simulator
from tests.drills.conftest import Figures, Scale
from tests.drills.processes import finish_killed
from tests.kit import PRICE, Workspace

CONCURRENCY, ITEMS, KILLS = 4, 10, 6
WINDOW = 600
TEXT = "".join(f"Sentence {n} says something of its own. " for n in range(30))
STEPS = """
  ask:
    prompt: "Ask {{ item.id }}"
    schema: {questions: {type: array, items: {type: string}, minItems: 2, maxItems: 3}}
  answer: {foreach: steps.ask.questions, prompt: "Answer {{ each }} of {{ item.id }}"}
  note: {prompt: "Note {{ item.text }}", schema: {mood: [good, bad]}, on_too_long: split}
  talk: {prompt: {turns: ["One {{ item.id }} {{ steps.note.mood }}", Two, Three]}}
  total: {reduce: {of: answer, fan_in: 3}, prompt: "Sum {{ results | tojson }}"}
"""


def _window(request: SimRequest, _index: int) -> Fault | None:
    is_long = request.prompt.startswith("Note") and len(request.prompt) > WINDOW
    return Fault.CONTEXT_EXCEEDED if is_long else None


def _space(folder: Path, sim: Simulator) -> Workspace:
    folder.mkdir()
    space = Workspace(folder, sim.openai_url)
    space.write({f"k{n}": f"{n} {TEXT}" for n in range(ITEMS)})
    space.job_path.write_text(
        "input: {path: data.csv, key: id}\noutput: out.csv\n"
        f"model: {{name: {space.model}, base_url: '{space.url}', api_key_env: SIM_KEY, "
        f"price: {PRICE}, max_tokens: 64}}\n"
        f"limits: {{concurrency: {CONCURRENCY}}}\nsteps:{STEPS}"
    )
    return space


def _exported(space: Workspace) -> list[bytes]:
    return [(space.folder / name).read_bytes() for name in ("out.csv", "out.total.csv")]


def test_a_job_of_many_steps_killed_anywhere_equals_one_that_was_not(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    kills = repeated = 0
    for job in range(scale(1, 10)):
        seed = random.randrange(10**6)
        chance = random.Random(seed)
        with Simulator(Settings(latency=Latency(0.02, sigma=0.7), faults=_window)) as sim:
            whole = _space(tmp_path / f"whole{job}", sim)
            assert whole.run().exit_code == 0
            needed = len(sim.received)
            space = _space(tmp_path / f"job{job}", sim)
            struck = 0
            for _ in range(KILLS):
                struck += finish_killed(
                    space.command("run", "--yes"),
                    space.folder,
                    sim=sim,
                    arrivals=chance.randint(1, 40),
                    patience_seconds=20,
                ).was_killed
            assert space.run().exit_code == 0, seed
            again = len(sim.received) - 2 * needed

            assert again <= struck * CONCURRENCY, seed
            assert _exported(space) == _exported(whole), seed
            assert {check.different for check in verify(space.job()).checks} == {0}, seed
        kills += struck
        repeated += again
    figures(promise=3, kills=kills, lost=0, doubled=repeated, bound=kills * CONCURRENCY)
