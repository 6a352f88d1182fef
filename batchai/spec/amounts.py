"""Kinds of amounts in a job file: money, shares and durations, exact from what was written."""

import re
from dataclasses import dataclass
from decimal import Decimal

from batchai.spec.document import Node, shown, wrong
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.models import Allowed
from batchai.spec.scalars import DECIMAL, WHOLE, is_plain, native, written

MAX_USD = Decimal(1_000_000_000)
MAX_FACTOR = 100
MAX_USD_PLACES = 12  # the store counts pico-dollars


@dataclass(frozen=True, slots=True)
class Money:
    """US dollars, exact from the text of the file; zero only where `zero` says so."""

    zero: bool = False

    def read(self, node: Node, reader: Reader) -> Decimal:  # noqa: ARG002
        bound = "" if self.zero else " above 0"
        if not DECIMAL.fullmatch(written(node)):
            raise wrong(node, f"must be an amount in USD{bound} such as 2.50, not {shown(node)}")
        amount = Decimal(written(node))
        if amount < 0 or amount > MAX_USD or (amount == 0 and not self.zero):
            raise wrong(node, f"must be an amount in USD{bound} such as 2.50, not {shown(node)}")
        if len(written(node).partition(".")[2]) > MAX_USD_PLACES:
            raise wrong(node, f"must have at most {MAX_USD_PLACES} decimal places")
        return amount

    def schema(self) -> JsonSchema:
        return {"type": ["number", "string"], "minimum": 0}


@dataclass(frozen=True, slots=True)
class Factor:
    """What a price is multiplied by, exact from the text of the file."""

    def read(self, node: Node, reader: Reader) -> Decimal:  # noqa: ARG002
        factor = Decimal(written(node)) if DECIMAL.fullmatch(written(node)) else None
        if factor is None or not 0 < factor <= MAX_FACTOR:
            raise wrong(
                node, f"must be a factor above 0 such as 0.5, for half the price, not {shown(node)}"
            )
        return factor

    def schema(self) -> JsonSchema:
        return {"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": MAX_FACTOR}


_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%")


@dataclass(frozen=True, slots=True)
class Share:
    """`50%` → Decimal("0.5"); above 0."""

    def read(self, node: Node, reader: Reader) -> Decimal:  # noqa: ARG002
        share = _share(node)
        if not share:
            raise wrong(
                node, f"must be a share such as 50%, above 0% and up to 100%, not {shown(node)}"
            )
        return share

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"^[0-9.]+\s?%$"}


@dataclass(frozen=True, slots=True)
class ShareOrNumber:
    """`5%` or `10` items."""

    def read(self, node: Node, reader: Reader) -> Allowed:  # noqa: ARG002
        share = _share(node)
        if share is not None:
            return Allowed(number=None, share=share)
        if is_plain(node, WHOLE) and isinstance(value := native(node), int) and 0 <= value < 2**63:
            return Allowed(number=value)
        raise wrong(
            node, f"must be a number of items such as 10, or a share such as 5%, not {shown(node)}"
        )

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "integer", "minimum": 0}, Share().schema()]}


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?[smhd])+")


@dataclass(frozen=True, slots=True)
class Duration:
    """`90s`, `1h`, `1h30m` → seconds."""

    def read(self, node: Node, reader: Reader) -> float:  # noqa: ARG002
        text = written(node)
        seconds = seconds_of(text)
        if seconds is None:
            unit = f": write {text}s for seconds" if WHOLE.fullmatch(text) else ""
            raise wrong(node, f"must be a time such as 90s, 15m, 1h or 2d, not {shown(node)}{unit}")
        return seconds

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{_DURATION.pattern}$"}


def seconds_of(text: str) -> float | None:
    """The seconds of a duration such as `1h30m`; None where the text is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([smhd])", text)
    )


def _share(node: Node) -> Decimal | None:
    match = _SHARE.fullmatch(written(node))
    share = Decimal(match[1]) / 100 if match else None
    return share if share is not None and share <= 1 else None
