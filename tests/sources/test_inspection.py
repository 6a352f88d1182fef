from pathlib import Path

import pytest

from batchai.sources import DataSketch, inspect_data
from tests.sources.reading import write


def test_a_sketch_names_key_text_and_number_of_records(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "plan,customer_id,feedback_id,text\nx,1,1,long text\nx,1,2,more text\nx,2\nx,2,3,text\n",
    )

    assert inspect_data(str(path)) == DataSketch(
        format="csv",
        columns=("plan", "customer_id", "feedback_id", "text"),
        rows=3,
        bad_rows=1,
        key_candidate="feedback_id",
        text_column="text",
    )


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("customer_id,id\n1,1\n2,2\n", "id"),
        ("Order ID,n\n1,1\n2,2\n", "Order ID"),
        ("userId,n\n1,1\n2,2\n", "userId"),
        ("id,n\n1,1\n,2\n", None),
        ("id,n\n1,1\n1,2\n", None),
        ("paid,n\n1,1\n2,2\n", None),
        ("email,url\na,b\nc,d\n", "url"),
    ],
)
def test_a_key_is_unique_never_empty_and_named_like_one(
    tmp_path: Path, content: str, key: str | None
) -> None:
    path = write(tmp_path / "a.csv", content)

    assert inspect_data(str(path)).key_candidate == key


def test_a_folder_of_documents_is_keyed_by_path(tmp_path: Path) -> None:
    write(tmp_path / "a.md", "some text")

    sketch = inspect_data(str(tmp_path))

    assert (sketch.format, sketch.key_candidate, sketch.text_column) == ("files", "path", "text")
