"""A prices file: models' names and their prices, as `model.price` in a job says them."""

import os
from pathlib import Path

from batchai.errors import SpecError
from batchai.spec.document import read_document
from batchai.spec.fields import PRICES
from batchai.spec.kinds import Reader
from batchai.spec.models import Price


def read_prices(path: Path) -> dict[str, Price]:
    """The prices by `provider/name`. Raises SpecError with every mistake."""
    if not path.is_file():
        raise SpecError(f"{path}: no such file; it holds lines such as openai/m: {{input_mtok: 1}}")
    reader = Reader(roots=(), environ=os.environ, variables={})
    values = PRICES.read(read_document(path, origin=str(path)), reader)
    if reader.mistakes:
        raise SpecError("\n".join(reader.mistakes))
    return {name: Price(**price) for name, price in values.items()}
