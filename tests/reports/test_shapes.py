"""What programs read from `--json`: documented, and never less than it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from batchai.operations.report import report
from batchai.operations.show import show
from batchai.operations.status import status
from batchai.reports.json_text import json_text
from batchai.reports.shapes import json_shape
from batchai.simulator import Fault, Settings, Simulator
from tests.kit import KEY, Workspace

RECORDED = Path(__file__).parent / "shapes"  # a line a field; a new field is a new line


@pytest.mark.parametrize("command", ["report", "status", "show", "compare"])
def test_no_field_is_renamed_removed_or_of_another_type(command: str) -> None:
    shape = json_shape(command)
    fields = set(_fields(shape, shape, ""))
    recorded = (RECORDED / f"{command}.txt").read_text().splitlines()
    assert sorted(set(recorded) - fields) == []


def test_what_is_printed_has_the_shape_that_is_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", KEY)
    faults = Settings(
        faults=lambda request, _: Fault.REFUSED if "number 1 " in request.prompt else None
    )
    with Simulator(faults) as sim:
        space = Workspace(tmp_path, sim.openai_url, top="budget_usd: 1").write(5)
        space.run()
    job = space.job()
    printed = [("report", report(job)), ("status", status(job))]
    printed += [("show", show(job)), ("show", show(job, key="k1"))]
    for command, value in printed:
        validator = jsonschema_rs.validator_for(json_shape(command))
        assert [
            error.message for error in validator.iter_errors(json.loads(json_text(value)))
        ] == []


def _fields(shape: dict[str, Any], part: dict[str, Any], path: str) -> Iterator[str]:
    """`models[].tally.cost_usd: string` for each leaf."""
    if "$ref" in part:
        yield from _fields(shape, shape["$defs"][part["$ref"].rpartition("/")[2]], path)
    elif "anyOf" in part:
        for variant in part["anyOf"]:
            yield from _fields(shape, variant, path)
    elif "properties" in part:
        for name, inner in part["properties"].items():
            yield from _fields(shape, inner, f"{path}.{name}".lstrip("."))
    elif "items" in part:
        yield from _fields(shape, part["items"], f"{path}[]")
    elif isinstance(part.get("additionalProperties"), dict):
        yield from _fields(shape, part["additionalProperties"], f"{path}{{}}")
    else:
        yield f"{path}: {part.get('type', 'any')}"
