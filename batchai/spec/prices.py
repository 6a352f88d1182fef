"""Prices of models, written in the job, in the project file, or in a file of their own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchai.errors import SpecError
from batchai.spec.amounts import Factor, Money
from batchai.spec.document import Node, Scalar, read_document, wrong
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.models import DELIVERIES, Price
from batchai.spec.paths import FilePath
from batchai.spec.sections import Field, MapOf, Section

_USD = Money(zero=True)

PRICE = Section(
    {
        "input_mtok": Field(_USD, "USD per million input tokens.", is_required=True),
        "output_mtok": Field(_USD, "USD per million output tokens.", is_required=True),
        "cache_read_mtok": Field(_USD, "USD per million tokens read from a cache."),
        "cache_write_mtok": Field(_USD, "USD per million tokens written to a cache."),
        "cache_write_1h_mtok": Field(_USD, "The same for a cache of an hour; default: as above."),
        "reasoning_mtok": Field(_USD, "USD per million reasoning tokens; default: output_mtok."),
        "delivery": Field(
            Section(
                {
                    name: Field(Factor(), f"All prices times this where it is served as {name}.")
                    for name in DELIVERIES
                }
            ),
            "Factors for other ways of delivery, such as {batch: 0.5, flex: 0.5}.",
        ),
    }
)
_PRICES = MapOf(PRICE)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by `provider/name`, written in place or as the path of a file that holds them."""

    def read(self, node: Node, reader: Reader) -> Mapping[str, Any]:
        if not isinstance(node, Scalar):
            return _PRICES.read(node, reader)
        path = FilePath().read(node, reader)
        if not path.is_file():
            raise wrong(node, f"{path}: no such file")
        return _PRICES.read(read_document(path, origin=str(path)), reader)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string", "minLength": 1}, _PRICES.schema()]}


def read_prices(path: Path) -> dict[str, Price]:
    """The prices of a file by `provider/name`. Raises SpecError with every mistake."""
    if not path.is_file():
        raise SpecError(f"{path}: no such file; it holds lines such as openai/m: {{input_mtok: 1}}")
    reader = Reader(roots=(), environ=os.environ, variables={})
    values = _PRICES.read(read_document(path, origin=str(path)), reader)
    if reader.mistakes:
        raise SpecError("\n".join(reader.mistakes))
    return {name: Price(**price) for name, price in values.items()}
