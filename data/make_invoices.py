"""Make the sample invoices: `python data/make_invoices.py` (needs Pillow).

Writes data/invoices/*.pdf (text), data/invoices/*.png (pictures, as of a scan) and
data/invoices.csv with what stands on each. All names and numbers are made up.
"""

import csv
import io
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
CENT = Decimal("0.01")
COLUMNS = (
    "invoice_id", "file", "kind", "gold_number", "gold_supplier", "gold_date", "gold_currency",
    "gold_net", "gold_tax", "gold_total",
)  # fmt: skip

# supplier, address, currency, tax rate in percent, how numbers look, articles with their unit price
SUPPLIERS = (
    ("Harbour Print Ltd", "12 Quay Street, Bristol", "GBP", 20, "INV-{n}",
     (("Letterheads, 1,000", "74.50"), ("Business cards, 250", "31.00"), ("Proof", "12.50"))),
    ("Voss Elektro GmbH", "Hafenweg 3, Kiel", "EUR", 19, "2026/{n}",
     (("Service call", "89.00"), ("Cable NYM-J 3x1.5, per m", "1.35"), ("Socket", "7.90"))),
    ("Boulangerie Petit", "8 rue des Lices, Rennes", "EUR", 10, "F{n}",
     (("Croissants, tray of 20", "24.00"), ("Baguettes, crate", "18.60"), ("Delivery", "9.00"))),
    ("Cloudhaven Hosting", "300 Lake Drive, Duluth MN", "USD", 0, "CH-{n}",
     (("Server M, month", "46.00"), ("Backup, per 100 GB", "3.75"), ("Support hours", "95.00"))),
    ("Andersson Bygg AB", "Storgatan 41, Umeå", "SEK", 25, "{n}",
     (("Carpenter, hours", "620.00"), ("Timber 45x95, per m", "38.50"), ("Travel", "450.00"))),
    ("Fresh Fields Produce", "Unit 4, Market Road, Leeds", "GBP", 0, "FF{n}",
     (("Tomatoes, 6 kg box", "11.40"), ("Basil, bunch", "0.85"), ("Lemons, 100", "23.00"))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Invoice:
    """What stands on one invoice; lines are description, quantity, unit price."""

    key: str
    supplier: str
    address: str
    number: str
    day: date
    currency: str
    tax_percent: int
    lines: tuple[tuple[str, int, Decimal], ...]

    @property
    def net(self) -> Decimal:
        """Sum of the lines."""
        return sum((quantity * price for _, quantity, price in self.lines), Decimal(0))

    @property
    def tax(self) -> Decimal:
        """Rounded to the cent."""
        return (self.net * self.tax_percent / 100).quantize(CENT, ROUND_HALF_UP)

    def text(self) -> Iterator[str]:
        """Line by line, in columns."""
        yield from (self.supplier, self.address, "")
        yield f"INVOICE {self.number}"
        yield f"Date: {self.day:%d %B %Y}"
        yield from ("Bill to: Lantern Software, 5 Mill Lane, Bath", "")
        yield f"{'Description':<30}{'Qty':>5}{'Price':>11}{'Amount':>12}"
        for what, quantity, price in self.lines:
            yield f"{what:<30}{quantity:>5}{price:>11,.2f}{quantity * price:>12,.2f}"
        yield ""
        yield f"{'Net':>46}{self.net:>12,.2f}"
        yield f"{f'Tax {self.tax_percent} %':>46}{self.tax:>12,.2f}"
        yield f"{f'Total {self.currency}':>46}{self.net + self.tax:>12,.2f}"
        yield from ("", f"Payable by {self.day + timedelta(days=30):%d %B %Y}. Thank you.")


def main() -> int:
    """Write all files anew; they are the same each time."""
    chance = random.Random(5)
    folder = HERE / "invoices"
    folder.mkdir(exist_ok=True)
    with (HERE / "invoices.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number in range(1, 13):
            made = invoice(number, chance)
            kind = "png" if number % 3 == 0 else "pdf"
            content = picture(made, chance) if kind == "png" else pdf(made)
            (folder / f"{made.key}.{kind}").write_bytes(content)
            writer.writerow(row(made, kind))
    return 0


def invoice(number: int, chance: random.Random) -> Invoice:
    """The invoice of this number, with one to three lines."""
    name, address, currency, tax, form, articles = SUPPLIERS[(number * 7 // 3) % len(SUPPLIERS)]
    bought = chance.sample(articles, chance.choice((2, 3, 3)))
    return Invoice(
        key=f"{number:02}",
        supplier=name,
        address=address,
        number=form.format(n=chance.randrange(1000, 99999)),
        day=date(2026, 1, 5) + timedelta(days=number * 4 + chance.randrange(4)),
        currency=currency,
        tax_percent=tax,
        lines=tuple((what, chance.randrange(1, 25), Decimal(price)) for what, price in bought),
    )


def row(made: Invoice, kind: str) -> tuple[object, ...]:
    """The gold values."""
    head = (made.key, f"{made.key}.{kind}", kind, made.number, made.supplier, made.day)
    return (*head, made.currency, made.net, made.tax, made.net + made.tax)


def pdf(made: Invoice) -> bytes:
    """One A4 page in Courier, written by hand (ISO 32000-1, 7.5 and 9.4)."""
    lines = b"".join(b"(%b) Tj T*\n" % escaped(line) for line in made.text())
    stream = b"BT /F1 11 Tf 16 TL 60 760 Td\n" + lines + b"ET"
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        font,
    )
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return (
        body
        + b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
        + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))
    )


def escaped(line: str) -> bytes:
    """As a PDF string."""
    for mark in "\\()":
        line = line.replace(mark, f"\\{mark}")
    return line.encode("cp1252")


def picture(made: Invoice, chance: random.Random) -> bytes:
    """A grey scan, laid a little askew."""
    page = Image.new("L", (1000, 720), 245)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(22)
    for index, line in enumerate(made.text()):
        columns = (60, 560, 700, 860) if is_table(line) else (60,)
        for left, cell in zip(columns, cells(line), strict=False):
            draw.text((left, 40 + index * 34), cell, fill=40, font=font)
    askew = page.rotate(chance.uniform(-1.2, 1.2), Image.Resampling.BICUBIC, fillcolor=235)
    stream = io.BytesIO()
    askew.quantize(16).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def is_table(line: str) -> bool:
    """Whether a line has columns."""
    return "  " in line


def cells(line: str) -> list[str]:
    """The columns of a line; sums stand under the last two."""
    found = [cell.strip() for cell in line.split("  ") if cell.strip()]
    return ["", "", *found] if line.startswith("  ") else found


if __name__ == "__main__":
    sys.exit(main())
