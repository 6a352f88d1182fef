from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchai.operations.init import init
from batchai.operations.starters import LOCAL_MODEL, TEMPLATES
from batchai.spec import find_job, load_job
from tests.operations.beginnings import (
    KEY,
    ODD_ROWS,
    WRITERS,
    last_line,
    ready,
    write_csv,
    write_documents,
    write_json,
    write_jsonl,
)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", WRITERS)
def test_every_template_is_ready_to_run_on_every_kind_of_data(
    keyed: Path, name: str, template: str
) -> None:
    WRITERS[name](keyed / name, ODD_ROWS)

    result = init("job", Path(name), folder=keyed, template=template)

    job = ready(result)
    assert job.steps[0].model.name == "anthropic/claude-haiku-5-5"
    assert job.budget_usd is not None
    assert last_line(result).endswith("next: batchai try job")


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("ANTHROPIC_API_KEY", "anthropic/claude-haiku-5-5"),
        ("OPENAI_API_KEY", "openai/gpt-6-luna"),
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
