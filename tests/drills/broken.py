"""Jobs that work, and what can be wrong with them: seeded, so that a number names a case."""

import csv
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from batchai.simulator import SimRequest
from batchai.simulator.answers import default_answer

ITEMS = 20_000
MODEL = "gpt-5.4-mini"
INPUT_MTOK, OUTPUT_MTOK = 1, 2  # USD
PRICE = f"{{input_mtok: {INPUT_MTOK}, output_mtok: {OUTPUT_MTOK}}}"
WORDS = ("late", "parcel", "broken", "screen", "refund", "helpful", "slow", "crashes", "great")
SCHEMAS = {
    "classify": "{mood: [good, bad, mixed]}",
    "score": "{score: integer, urgent: boolean}",
    "extract": "{product: string, problem: string, tags: [string]}",
    "detail": "{topic: [billing, delivery, product], summary: string, language: string}",
}

Answer = Callable[[SimRequest], str]


@dataclass(frozen=True)
class Case:
    """A job and the model that answers it. from_arrival: when it breaks, None = from the start."""

    kind: str
    seed: int
    concurrency: int
    schema: str
    prompt: str = "Read this message and answer: {{ item.text }}"
    model: str = "max_tokens: 256"
    top: str = ""
    answer: Answer = field(default=default_answer)
    from_arrival: int = 0


def write_data(folder: Path, items: int = ITEMS) -> None:
    """`data.csv`: messages of usual lengths; the column `notes` is empty."""
    rng = random.Random(1)
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "notes"])
        for number in range(items):
            words = " ".join(rng.choices(WORDS, k=rng.randint(10, 80)))
            writer.writerow([f"k{number}", f"{number}: {words}", ""])


def write_job(folder: Path, case: Case, url: str) -> Path:
    """The case's job file, over the folder's data."""
    path = folder / f"{case.kind.replace(' ', '-')}-{case.seed}.yaml"
    path.write_text(
        "input: {path: data.csv, key: id}\n"
        f"model: {{name: openai/{MODEL}, base_url: '{url}', api_key_env: none, price: {PRICE}, "
        f"{case.model}}}\n"
        f"prompt: {{user: '{case.prompt}'}}\n"
        f"schema: {case.schema}\n"
        f"limits: {{concurrency: {case.concurrency}}}\n"
        f"output: {path.stem}.csv\n{case.top}\n"
    )
    return path


def healthy(seed: int) -> Case:
    """A job that works."""
    rng = random.Random(f"healthy {seed}")
    return Case("healthy", seed, rng.choice([8, 16, 32, 64]), SCHEMAS[rng.choice([*SCHEMAS])])


def mutated(seed: int) -> Case:
    """A healthy job with one thing wrong."""
    kind = [*MUTATIONS][seed % len(MUTATIONS)]
    return MUTATIONS[kind](kind, seed, random.Random(f"{kind} {seed}"))


def _wrong_column(kind: str, seed: int, rng: random.Random) -> Case:
    """A column that is not there, or one that is empty: the model asks for the text."""
    column = rng.choice(["txt", "notes", "notes"])

    def answer(_request: SimRequest) -> str:
        return "There is no message to read. Please send me the customer's message."

    return Case(
        kind,
        seed,
        _slots(rng),
        _schema(rng),
        prompt=f"Read: {{{{ item.{column} }}}}",
        answer=answer,
    )


def _contradictory_schema(kind: str, seed: int, rng: random.Random) -> Case:
    """No answer can be valid."""
    contradiction = rng.choice(
        [
            "{type: object, properties: {a: {type: integer, minimum: 9, maximum: 3}}, "
            "required: [a], additionalProperties: false}",
            "{type: object, properties: {a: {type: string, minLength: 9, maxLength: 3}}, "
            "required: [a], additionalProperties: false}",
            "{type: object, properties: {a: {type: string, pattern: '^[0-9]+$', enum: [x, y]}}, "
            "required: [a], additionalProperties: false}",
            "{type: object, properties: {a: {type: array, items: {type: string}, minItems: 3, "
            "maxItems: 1}}, required: [a], additionalProperties: false}",
        ]
    )
    return Case(kind, seed, _slots(rng), contradiction)


def _tiny_max_tokens(kind: str, seed: int, rng: random.Random) -> Case:
    """Every answer is cut off, and growing is not allowed or does not reach far enough."""
    few = rng.randint(1, 3)
    top = rng.choice(
        ["on_truncated: fail", "on_truncated: retry", f"on_truncated: {{grow: {few + 1}}}"]
    )
    return Case(kind, seed, _slots(rng), _schema(rng), model=f"max_tokens: {few}", top=top)


def _wrong_model(kind: str, seed: int, rng: random.Random) -> Case:
    """The account has no such model (the simulator serves `MODEL` only)."""
    return Case(kind, seed, _slots(rng), _schema(rng), model="max_tokens: 256, effort: low")


def _prose(kind: str, seed: int, rng: random.Random) -> Case:
    """The prompt talks the model out of JSON, mostly or always."""
    return Case(kind, seed, _slots(rng), _schema(rng), answer=_bad(rng, 0))


def _drift(kind: str, seed: int, rng: random.Random) -> Case:
    """The model behind the name changes in mid-run."""
    since = rng.randint(200, 1200)
    answer = _bad(rng, since)
    return Case(kind, seed, _slots(rng), _schema(rng), answer=answer, from_arrival=since)


MUTATIONS: dict[str, Callable[[str, int, random.Random], Case]] = {
    "wrong column": _wrong_column,
    "contradictory schema": _contradictory_schema,
    "tiny max_tokens": _tiny_max_tokens,
    "wrong model": _wrong_model,
    "prose": _prose,
    "drift": _drift,
}


def _bad(rng: random.Random, since: int) -> Answer:
    """Bad answers to this share of prompts, always to the same ones, from an arrival on."""
    share = rng.uniform(0.7, 1.0)
    text = rng.choice(
        [
            "Sure! " + "Here is what I think about this message. " * rng.randint(1, 8),
            json.dumps({"result": "something else entirely", "confidence": 0.9}),
            "",
            '{"mood": "good", "score": 3, "product": "a phone", "sum',
        ]
    )

    def answer(request: SimRequest) -> str:
        item = request.prompt.partition("\n\n")[0]  # without what was asked again
        is_bad = random.Random(item).random() < share
        return text if request.sequence >= since and is_bad else default_answer(request)

    return answer


def _slots(rng: random.Random) -> int:
    return rng.choice([4, 8, 16, 32, 64])


def _schema(rng: random.Random) -> str:
    return SCHEMAS[rng.choice([*SCHEMAS])]
