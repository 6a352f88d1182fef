import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.errors import RefusedError, SourceError, SpecError
from batchai.operations.check import check
from batchai.operations.init import InitResult, init
from batchai.operations.starters import LOCAL_MODEL, TEMPLATES
from batchai.spec import find_job, load_job
from batchai.spec.models import Job

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
openpyxl = pytest.importorskip("openpyxl")

KEY = "sk-ant-api03-" + "x" * 24
ODD_ROWS = [
    {
        "Customer Name": name,
        "größe": "12",
        'a "quoted" \\ one': "x",
        "{{ braces }} {% and %} #": "y",
        "if": "z",
        "items": "w",
        "_private": "v",
        "order-id": f"O-{number}",
        "全文": f"A long text about a thing, number {number}, to be the longest of all columns",
    }
    for number, name in enumerate(["Ann", "Björn", "Chloé"])
]

Rows = Sequence[Mapping[str, Any]]


def write_csv(path: Path, rows: Rows, separator: str = ",") -> None:
    cells = [list(rows[0]), *(row.values() for row in rows)]
    lines = (separator.join('"' + str(c).replace('"', '""') + '"' for c in line) for line in cells)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tsv(path: Path, rows: Rows) -> None:
    write_csv(path, rows, "\t")


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, rows: Rows) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def write_xlsx(path: Path, rows: Rows) -> None:
    book = openpyxl.Workbook()
    for cells in [list(rows[0]), *(list(row.values()) for row in rows)]:
        book.active.append(cells)
    book.save(path)
    book.close()


def write_documents(path: Path, rows: Rows) -> None:
    path.mkdir()
    for number, row in enumerate(rows):
        (path / f"{number} – ä.txt").write_text(str(row), encoding="utf-8")


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "data.csv": write_csv,
    "data.tsv": write_tsv,
    "data.jsonl": write_jsonl,
    "data.json": write_json,
    "data.parquet": write_parquet,
    "data.xlsx": write_xlsx,
    "documents": write_documents,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def keyed(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return here


def ready(result: InitResult) -> Job:
    """The written job, in which `check --all` finds nothing."""
    job = load_job(result.path)
    assert list(check(job, every_item=True)) == []
    return job


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def last_line(result: InitResult) -> str:
    return result.text.splitlines()[-1]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", WRITERS)
def test_every_template_is_ready_to_run_on_every_kind_of_data(
    keyed: Path, name: str, template: str
) -> None:
    WRITERS[name](keyed / name, ODD_ROWS)

    result = init("job", Path(name), folder=keyed, template=template)

    job = ready(result)
    assert job.steps[0].model.name == "anthropic/claude-haiku-4-5"
    assert job.budget_usd is not None
    assert last_line(result).endswith("next: batchai try job")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("ANTHROPIC_API_KEY", "anthropic/claude-haiku-4-5"),
        ("OPENAI_API_KEY", "openai/gpt-5.4-mini"),
        (None, LOCAL_MODEL),
    ],
)
def test_the_model_is_one_that_the_key_serves(
    here: Path, monkeypatch: pytest.MonkeyPatch, template: str, variable: str | None, model: str
) -> None:
    if variable:
        monkeypatch.setenv(variable, KEY)
    write_csv(here / "data.csv", ODD_ROWS)

    result = init("job", Path("data.csv"), folder=here, template=template)

    assert ready(result).steps[0].model.name == model
    assert f" · {variable} found · " in result.text or f"no key found, so {model}" in result.text
    assert KEY not in result.text + result.path.read_text()


def test_the_last_line_tells_file_rows_key_and_what_is_next(keyed: Path) -> None:
    (keyed / "data").mkdir()
    write_csv(
        keyed / "data" / "feedback.csv",
        [{"feedback_id": f"F{n}", "text": f"words {n}"} for n in range(5000)],
    )

    result = init("feedback", Path("data/feedback.csv"), folder=keyed)

    assert last_line(result) == (
        "Wrote feedback.yaml · 5,000 rows, key feedback_id · ANTHROPIC_API_KEY found"
        " · next: batchai try feedback"
    )
    job = ready(result)
    assert job.input.key == ("feedback_id",)
    assert str(job.budget_usd) == "2.50"
    assert job.output.path == keyed / "out" / "feedback.csv"


def test_the_longest_text_is_sent_and_odd_names_are_quoted(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)

    user = ready(init("job", Path("data.csv"), folder=keyed)).steps[0].prompt.user

    assert user == '全文: {{ item["全文"] }}'


def test_without_a_text_column_the_other_columns_are_sent(keyed: Path) -> None:
    write_json(
        keyed / "data.json", [{"id": n, "Monthly spend": n * 10, "age": n} for n in range(9)]
    )

    user = ready(init("job", Path("data.json"), folder=keyed)).steps[0].prompt.user

    assert user == 'Monthly spend: {{ item["Monthly spend"] }}\nAge: {{ item.age }}'


def test_data_without_a_key_column_is_known_by_its_content(keyed: Path) -> None:
    write_csv(keyed / "data.csv", [{"text": "same"}, {"text": "same"}])

    result = init("job", Path("data.csv"), folder=keyed)

    assert ready(result).input.key == ()
    assert "2 rows, no key column, so known by content" in result.text


def test_a_folder_of_documents_gets_the_template_for_documents(keyed: Path) -> None:
    write_documents(keyed / "letters", ODD_ROWS)

    result = init(None, Path("letters"), folder=keyed)

    job = ready(result)
    assert result.path == keyed / "letters.yaml"
    assert job.input.key == ("path",)
    assert job.steps[0].prompt.user == "Document {{ item.name }}:\n\n{{ item.text }}"
    assert last_line(result).startswith("Wrote letters.yaml · 3 documents, key path · ")


@pytest.mark.parametrize(
    "name",
    [
        "my data (1).csv", "naïve – 数据.csv", "a: b #1.csv", "[1].csv", "on.csv", "1e5.csv",
        "it's.csv", "- x.csv", "~x.csv", '"q".csv', "{a}.csv", "12:30.csv", "ends with.CSV",
        "back\\slash.csv", "tab\tand\nline.csv", "batchai.csv", "...csv.csv",
    ],
)  # fmt: skip
def test_odd_file_names_give_a_job_that_reads_them(keyed: Path, name: str) -> None:
    write_csv(keyed / name, ODD_ROWS)

    result = init(None, Path(name), folder=keyed)

    assert ready(result).input.path == str(keyed / name)


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    template=st.sampled_from(sorted(TEMPLATES)),
    with_text=st.booleans(),
)
def test_any_column_names_give_a_job_that_renders_every_item(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], template: str, with_text: bool
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    rows = [dict.fromkeys(names, f"v{n}" if with_text else n) for n in range(3)]
    write_jsonl(folder / "data.jsonl", rows)

    ready(init("job", folder / "data.jsonl", folder=folder, template=template))


def test_a_glob_is_read_and_its_results_are_not(keyed: Path) -> None:
    for number in (1, 2):
        write_csv(keyed / f"{number}.csv", [{"id": str(number), "text": "hello there"}])

    result = init("job", Path("*.csv"), folder=keyed)

    job = ready(result)
    assert "2 rows, key id" in result.text
    assert job.output.path == keyed / "out" / "job.jsonl"


def test_results_that_are_there_are_not_named_as_output(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)
    (keyed / "out").mkdir()
    (keyed / "out" / "job.csv").write_text("precious")

    job = ready(init("job", Path("data.csv"), folder=keyed))

    assert job.output.path == keyed / "out" / "job.jsonl"


def test_documents_in_a_folder_called_out_are_not_mixed_with_results(keyed: Path) -> None:
    write_documents(keyed / "out", ODD_ROWS)

    assert ready(init("job", Path("out"), folder=keyed)).output.path == keyed / "results/job.json"


def test_bad_rows_are_told_and_passed_over(keyed: Path) -> None:
    (keyed / "data.jsonl").write_text('{"id": 1, "text": "good"}\n{"id": 2, \n{"id": 3}\n')

    result = init("job", Path("data.jsonl"), folder=keyed)

    assert load_job(result.path).input.on_bad_row == "skip"
    assert "1 row cannot be used: passed over (on_bad_row: skip)" in result.text
    assert "2 rows, key id" in result.text


def test_without_data_the_job_loads_and_says_where_data_goes(keyed: Path) -> None:
    result = init("feedback", None, folder=keyed)

    assert load_job(result.path).input.path == str(keyed / "feedback.csv")
    assert "no data yet: put it at feedback.csv" in result.text
    assert last_line(result).endswith("next: batchai check feedback")


def test_a_data_file_in_place_of_the_name_is_understood(keyed: Path) -> None:
    write_csv(keyed / "tickets.csv", ODD_ROWS)

    result = init("tickets.csv", None, folder=keyed)

    assert result.path == keyed / "tickets.yaml"
    assert ready(result).input.path == str(keyed / "tickets.csv")


def test_a_job_in_jobs_names_its_data_from_there(keyed: Path) -> None:
    (keyed / "data").mkdir()
    write_csv(keyed / "data" / "tickets.csv", ODD_ROWS)

    result = init("jobs/tickets", Path("data/tickets.csv"), folder=keyed)

    assert "path: ../data/tickets.csv" in result.path.read_text()
    ready(result)
    assert find_job("tickets") == Path("jobs/tickets.yaml")
    assert last_line(result).endswith("next: batchai try tickets")


def test_a_job_elsewhere_is_named_by_its_path(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)

    result = init("new stuff/my job", Path("data.csv"), folder=keyed)

    assert last_line(result).endswith("next: batchai try 'new stuff/my job.yaml'")


def test_a_job_file_that_is_there_is_replaced_only_by_force(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)
    (keyed / "job.yaml").write_text("mine")

    with pytest.raises(RefusedError, match=r"job\.yaml: is there already; give another NAME"):
        init("job", Path("data.csv"), folder=keyed)
    assert (keyed / "job.yaml").read_text() == "mine"

    ready(init("job", Path("data.csv"), folder=keyed, force=True))
    assert names_in(keyed) == ["data.csv", "job.yaml"]


def test_data_outside_is_named_with_the_way_to_allow_it(
    keyed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "data.csv"
    write_csv(outside, ODD_ROWS)

    result = init("job", outside, folder=keyed)

    assert f"allow it with --allow-path {outside.parent}" in result.text
    assert last_line(result).endswith("next: batchai check job")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "empty.csv: .*"),
        ("header.csv", "id,text\n", "header.csv: holds no records"),
        ("empty.json", "[]", "empty.json: holds no records"),
        ("bad.jsonl", "{no\n{no\n", "bad.jsonl: has no row that can be used"),
        ("nothing.jsonl", "{}\n{}\n", "nothing.jsonl: its rows have no columns"),
        ("data.gz", "x", "data.gz: the suffix .gz names no known format; unpack it first"),
    ],
)
def test_data_without_a_usable_row_is_refused_and_nothing_is_written(
    keyed: Path, name: str, content: str, message: str
) -> None:
    (keyed / name).write_text(content)

    with pytest.raises(SourceError, match=message):
        init("job", Path(name), folder=keyed)
    assert names_in(keyed) == [name]


def test_a_misspelt_data_file_is_guessed(keyed: Path) -> None:
    write_csv(keyed / "feedback.csv", ODD_ROWS)

    with pytest.raises(SourceError, match=r"did you mean feedback\.csv"):
        init("job", Path("feedbak.csv"), folder=keyed)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batchai", "names the project file"),
        ("../job", "must lie below this folder"),
        ("?", "is no job's name"),
        (None, "init needs a NAME or a data file"),
    ],
)
def test_names_that_no_job_can_have_are_refused(
    keyed: Path, name: str | None, message: str
) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        init(name, None, folder=keyed)
    assert names_in(keyed) == []


def test_an_unknown_template_is_guessed(keyed: Path) -> None:
    with pytest.raises(SpecError, match=r"--template summarize: .*summarise"):
        init("job", None, folder=keyed, template="summarize")


def test_the_folder_that_holds_the_job_is_no_folder_of_documents(keyed: Path) -> None:
    (keyed / "letter.txt").write_text("Dear all")

    with pytest.raises(SpecError, match="keep them in a folder of their own"):
        init("job", Path(), folder=keyed)


def test_paths_that_a_job_would_read_as_code_are_refused(keyed: Path) -> None:
    write_csv(keyed / "{{x}}.csv", ODD_ROWS)

    with pytest.raises(SpecError, match="rename it"):
        init("job", Path("{{x}}.csv"), folder=keyed)


def test_a_repository_that_would_take_in_keys_is_told(keyed: Path) -> None:
    write_csv(keyed / "data.csv", ODD_ROWS)
    assert ".gitignore" not in init("outside", Path("data.csv"), folder=keyed).text

    subprocess.run(["git", "init", "--quiet"], cwd=keyed, check=True)
    assert "echo .env >> .gitignore" in init("before", Path("data.csv"), folder=keyed).text

    (keyed / ".gitignore").write_text(".env*\n")
    assert ".gitignore" not in init("after", Path("data.csv"), folder=keyed).text
