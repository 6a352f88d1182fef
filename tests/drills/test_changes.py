"""Promise 6: a changed spec is noticed, shown with its price and acted on only as the user says;
edited rows are sent again, untouched ones never.

One job lives through many changes of its rows and its spec. An oracle that knows nothing of
fingerprints says what must be sent: what no answer was paid for yet, under the spec of now.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from batchai.errors import RefusedError, SpecError
from batchai.operations.run import RunOptions
from batchai.simulator import Simulator
from tests.drills.conftest import Figures, Scale
from tests.kit import Workspace

ROWS = 40
PROMPTS = ("Classify: {{ item.text }}", "Sort: {{ item.text }}", "Judge this: {{ item.text }}!")
SCHEMAS = ("{mood: [good, bad]}", "{mood: [fine, poor]}")
MAX_TOKENS = (64, 65, 66)
MODELS = ("openai/gpt-5.4-mini", "openai/gpt-5.4-nano")
SPECS: dict[str, tuple[Any, ...]] = {
    "prompt": PROMPTS,
    "schema": SCHEMAS,
    "max_tokens": MAX_TOKENS,
    "model": MODELS,
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")

YES = RunOptions(yes=True)

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Spec:
    """What of the job decides what is sent."""

    prompt: str = PROMPTS[0]
    schema: str = SCHEMAS[0]
    max_tokens: int = MAX_TOKENS[0]
    model: str = MODELS[0]


@dataclass(frozen=True, slots=True)
class Paid:
    """An answer to a text, which counts as one under a spec; it was given to a schema."""

    text: str
    spec: Spec
    schema: str


@dataclass
class Life:
    """A job and what the oracle knows of it; paid: of each key, what it holds an answer to.

    before: the spec of the last run.
    """

    chance: random.Random
    rows: list[Row]
    spec: Spec = Spec()
    before: Spec = Spec()
    encoding: str = ENCODINGS[0]
    paid: dict[str, Paid] = field(default_factory=dict)
    added: int = 0

    def edit(self) -> None:
        """Another text in some rows."""
        for row in self.chance.sample(self.rows, 3):
            row["text"] += " é"

    def delete(self) -> None:
        """Some rows leave."""
        gone = self.chance.sample(self.rows, 2)
        self.rows = [row for row in self.rows if row not in gone]

    def add(self) -> None:
        """New rows, and some that had left come back as they were."""
        here = {row["id"] for row in self.rows}
        lost = [key for key in self.paid if key not in here]
        self.rows += [{"id": key, "text": self.paid[key].text, "note": ""} for key in lost[:1]]
        self.rows += [{"id": f"n{self.added}", "text": f"new {self.added}", "note": ""}]
        self.added += 1

    def reorder(self) -> None:
        """The same rows in another order."""
        self.chance.shuffle(self.rows)

    def annotate(self) -> None:
        """Another value in a column that the prompt does not use."""
        for row in self.chance.sample(self.rows, 5):
            row["note"] = f"note {self.chance.random()}"

    def encode(self) -> None:
        """The same rows in another encoding."""
        self.encoding = self.chance.choice(ENCODINGS)

    def respecify(self) -> None:
        """Another prompt, schema, number of tokens, or model."""
        name, choices = self.chance.choice(list(SPECS.items()))
        others = [value for value in choices if value != getattr(self.spec, name)]
        self.spec = replace(self.spec, **{name: self.chance.choice(others)})

    def to_pay(self) -> dict[str, str]:
        """Keys and texts for which there is no answer under this spec."""
        texts = {row["id"]: row["text"] for row in self.rows}
        return {key: text for key, text in texts.items() if not self._is_paid(key, text)}

    def _is_paid(self, key: str, text: str) -> bool:
        """Where only the schema changed, an answer that fits the new one stays."""
        paid = self.paid.get(key)
        if paid is None or paid.text != text:
            return False
        fits = paid.spec == self.before and paid.schema == self.spec.schema
        return paid.spec == self.spec or (
            fits and replace(self.before, schema=self.spec.schema) == self.spec
        )

    def keep(self) -> None:
        """Answers to rows that are as they were count as answers under this spec."""
        for row in self.rows:
            paid = self.paid.get(row["id"])
            if paid is not None and paid.text == row["text"]:
                self.paid[row["id"]] = replace(paid, spec=self.spec)

    def pay(self) -> None:
        """Every row has an answer under this spec now."""
        to_pay = self.to_pay()
        for row in self.rows:
            key = row["id"]
            schema = self.spec.schema if key in to_pay else self.paid[key].schema
            self.paid[key] = Paid(row["text"], self.spec, schema)
        self.before = self.spec

    def write(self, space: Workspace) -> None:
        """The files as they are now."""
        lines = ["id,text,note", *(f"{r['id']},{r['text']},{r['note']}" for r in self.rows)]
        (space.folder / "data.csv").write_bytes("\n".join(lines).encode(self.encoding))
        space.model = self.spec.model
        space.write_job(prompt=self.spec.prompt, schema=self.spec.schema)
        text = space.job_path.read_text().replace(
            "max_tokens: 64", f"max_tokens: {self.spec.max_tokens}"
        )
        encoding = self.encoding.removesuffix("-sig")
        space.job_path.write_text(text.replace("key: id}", f"key: id, encoding: {encoding}}}"))


CHANGES: tuple[Callable[[Life], None], ...] = (
    Life.edit,
    Life.delete,
    Life.add,
    Life.reorder,
    Life.annotate,
    Life.encode,
    Life.respecify,
    Life.respecify,
)


def test_exactly_what_changed_is_paid_for_and_a_changed_spec_only_when_told(
    tmp_path: Path, scale: Scale, figures: Figures
) -> None:
    chance = random.Random(20261122)
    life = Life(chance, [{"id": f"k{n}", "text": f"t {n}", "note": ""} for n in range(ROWS)])
    refused = paid = spared = 0
    mutations = scale(25, 400)
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url, top="limits: {concurrency: 32}")
        life.write(space)
        _run(life, space, sim)
        for _ in range(mutations):
            spec = life.spec
            chance.choice(CHANGES)(life)
            life.write(space)
            options = YES
            if life.spec != spec:
                _assert_refused(space, sim)
                refused += 1
                options = RunOptions(yes=True, changed=chance.choice(["rerun", "keep"]))
                if options.changed == "keep":
                    life.keep()
            sent = _run(life, space, sim, options)
            paid += sent
            spared += len(life.rows) - sent
    figures(
        promise=6,
        mutations=mutations,
        refused_until_told=refused,
        paid=paid,
        spared=spared,
        wrongly_paid=0,
        wrongly_spared=0,
    )


def test_a_row_that_is_there_twice_is_an_item_of_its_own_or_refused(tmp_path: Path) -> None:
    with Simulator() as sim:
        space = Workspace(tmp_path, sim.openai_url).write(6)
        rows = [{"id": key, "text": text} for key, text in space.texts.items()]
        assert space.run().exit_code == 0
        space.write_rows([*rows, rows[2]])
        with pytest.raises(SpecError, match="was there before"):
            space.run()
        assert len(sim.received) == 6

        text = space.job_path.read_text()
        space.job_path.write_text(
            text.replace(", key: id", "").replace("model:", "name: b\nmodel:")
        )
        assert space.run(options=RunOptions(yes=True, overwrite=True)).exit_code == 0
        assert len(sim.received) == 6 + 7
        space.write_rows([rows[2], *reversed(rows)])
        assert space.run().exit_code == 0
        assert len(sim.received) == 6 + 7


def _assert_refused(space: Workspace, sim: Simulator) -> None:
    """With a table and a price, and nothing is sent."""
    before = len(sim.received)
    with pytest.raises(RefusedError, match=r"(?s)\$\d.*--changed rerun.*--changed keep"):
        space.run()
    assert len(sim.received) == before


def _run(life: Life, space: Workspace, sim: Simulator, options: RunOptions = YES) -> int:
    """Run; the oracle's items were sent, no others, and all have a result. How many were sent."""
    before = len(sim.received)
    assert space.run(options=options).exit_code == 0
    spec = life.spec
    sent = Counter((r.prompt, r.model, r.max_tokens) for r in sim.received[before:])
    model = spec.model.removeprefix("openai/")
    expected = Counter(
        (spec.prompt.replace("{{ item.text }}", text), model, spec.max_tokens)
        for text in life.to_pay().values()
    )
    assert sent == expected
    life.pay()
    exported = space.exported()
    assert [row["id"] for row in exported] == [row["id"] for row in life.rows]
    assert {row["_status"] for row in exported} == {"succeeded"}
    return sent.total()
