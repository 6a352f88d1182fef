"""Fetch real data for the sample jobs: `python data/fetch.py amazon-reviews`.

Writes data/fetched/amazon_reviews.csv: 3,708 sentences of product reviews, each with the mean score
(-4 to 4) that twenty people gave it. They come from the source archive of vaderSentiment 3.3.2 on
PyPI (MIT licence; C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment
Analysis of Social Media Text", 2014). Nothing fetched is part of this project. Needs only Python
and pip.
"""

import argparse
import csv
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "fetched" / "amazon_reviews.csv"
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
# With its hash, so that pip checks the archive before it runs anything in it.
REQUIREMENT = (
    "vaderSentiment==3.3.2 "
    "--hash=sha256:5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
)
INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SCORES = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"
SENTENCES = 3708
COLUMNS = ("review_id", "score", "text", "gold_sentiment")

Row = tuple[str, str, str, str]


class FetchError(Exception):
    """The data cannot be had; the message says what to do."""


def main() -> int:
    """Fetch what the command line names; 0 where it is there at the end, else 1."""
    parser = argparse.ArgumentParser(description="Fetch real data for the sample jobs.")
    parser.add_argument("name", choices=["amazon-reviews"])
    parser.parse_args()
    if TARGET.exists():
        print(f"{TARGET} is there already; delete it to fetch it again.")
        return 0
    print("Downloading vaderSentiment 3.3.2 (2.5 MB) with pip …")
    try:
        rows = amazon_reviews()
        write_csv(TARGET, rows)
    except (FetchError, OSError) as error:
        print(f"amazon-reviews: {error}", file=sys.stderr)
        return 1
    print(f"Wrote {TARGET}: {len(rows):,} sentences.")
    return 0


def amazon_reviews() -> list[Row]:
    """All sentences; raises FetchError."""
    with tempfile.TemporaryDirectory() as folder:
        download(Path(folder))
        rows = list(review_rows(score_file(Path(folder) / ARCHIVE)))
    if len(rows) != SENTENCES:
        raise FetchError(f"{len(rows):,} sentences found, {SENTENCES:,} expected: nothing written")
    return rows


def download(folder: Path) -> None:
    """Have pip put the source archive into `folder`; raises FetchError."""
    requirements = folder / "requirements.txt"
    requirements.write_text(REQUIREMENT, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    source_only = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    command = [*pip, *source_only, "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = " ".join(lines) or done.stderr.strip() or f"it ended with {done.returncode}"
        raise FetchError(f"pip could not download it: {reason}\nCheck the network and pip's index.")


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


def write_csv(target: Path, rows: list[Row]) -> None:
    """Whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    unfinished.replace(target)


if __name__ == "__main__":
    sys.exit(main())
