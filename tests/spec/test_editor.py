"""The editor schema accepts every valid job and refuses unknown fields."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from batchai.spec import editor_schema
from tests.spec.jobs import job_text, load
from tests.spec.test_fields import EVERYTHING


def is_accepted(text: str) -> bool:
    # the words of these samples mean the same to every reader of YAML
    return jsonschema_rs.validator_for(editor_schema()).is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    "fields",
    [
        ("name: a",),
        ("model: {name: openai/x, price: none, stop: END}",),
        ("model: {name: openai/x, price: {input_mtok: 0, output_mtok: '4.50'}}",),
        ("prompt: {file: x.md}",),
        ("prompt: {system: {file: x.md}, user: hi}",),
        ("input: {path: a.csv, key: id}", "output: {failed: drop}"),
        ("input: {path: a.csv, key: [a, b], where: 'item.x > 1'}",),
        ("schema: {a: [x, y], 'b?': integer, c: {d: string}, e: list of string, f: [1, 2]}",),
        ("schema: {a: {type: string, description: x}, type: string, file: string}",),
        ("schema: {type: object, properties: {a: {type: string}}, required: [a]}",),
        ("limits: {concurrency: auto, max_wait: 1h30m}", "stop_if: none", "allow_failed: 10"),
        ("budget_usd: 2", "stop_if: {failed: 50%}", "allow_failed: 5%", "delivery: live"),
        ("schema: {a: string}", "on_invalid: {repair: 2, then: {a: x}}", "on_refused: {a: x}"),
        ("on_truncated: retry", "on_invalid: fail", "on_refused: retry", "on_unknown: hold"),
        ("vars: {a: 1, b: [x], c: {d: null}}", "retain: {items: false}", "version: 1"),
    ],
    ids=range(15),
)
def test_what_the_loader_takes_the_editor_accepts(fields: tuple[str, ...]) -> None:
    Path("x.md").write_text("Hello")
    load(*fields)

    assert is_accepted(job_text(*fields))


def test_a_job_with_every_field_is_accepted() -> None:
    assert is_accepted(EVERYTHING)


def test_a_job_whose_model_is_a_default_is_accepted() -> None:
    assert is_accepted("input: a.csv\nprompt: hi\n")


@pytest.mark.parametrize(
    "field",
    [
        "modle: openai/x",
        "model: {name: openai/x, temprature: 1}",
        "limits: {rpm: 1}",
        "limits: {requests_per_minute: fast}",
        "limits: {requests_per_minute: 0}",
        "prompt: {usr: hi}",
        "schema: [a, b]",
        "schema: {a: strng}",
        "schema: {a: [[x]]}",
        "delivery: batch",
        "steps: {}",
        "on_truncated: {grow: 0}",
        "on_refused: maybe",
        "stop_if: {failed: 0.5}",
        "retain: {items: maybe}",
    ],
)
def test_what_is_wrong_the_editor_refuses(field: str) -> None:
    assert not is_accepted(job_text(field))


def described(schema: Any) -> list[tuple[str, Any]]:
    """All properties at any depth, with what is said about them."""
    if isinstance(schema, list):
        return [pair for part in schema for pair in described(part)]
    if not isinstance(schema, dict):
        return []
    pairs = [(name, part) for name, part in schema.get("properties", {}).items()]
    return pairs + [pair for part in schema.values() for pair in described(part)]


def test_every_field_is_described() -> None:
    schema = editor_schema()
    jsonschema_rs.meta.validate(schema)
    silent = [name for name, part in described(schema["properties"]) if not part.get("description")]

    assert silent == []
    assert schema["properties"]["budget_usd"]["description"]
