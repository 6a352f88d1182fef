"""JOB on the command line: a path, or a name found here or in `jobs/`."""

from pathlib import Path

import pytest

from batchai.errors import SpecError
from batchai.spec import find_job
from tests.spec.jobs import write_job


@pytest.fixture
def jobs() -> None:
    write_job(name="here.yaml")
    write_job("name: declared", name="jobs/there.yml")
    write_job(name="jobs/other.yaml")
    Path("batchai.yaml").write_text("defaults: {}")
    Path("broken.yaml").write_text("a: [")


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("here", "here.yaml"),
        ("here.yaml", "here.yaml"),
        ("there", "jobs/there.yml"),
        ("jobs/there.yml", "jobs/there.yml"),
        ("declared", "jobs/there.yml"),
        ("other", "jobs/other.yaml"),
        ("broken", "broken.yaml"),
    ],
)
def test_a_job_is_found_by_path_stem_or_declared_name(name: str, path: str) -> None:
    assert find_job(name) == Path(path)


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hare", "hare: no such job here or in jobs/; did you mean here?"),
        ("jobs/othr.yaml", "jobs/othr.yaml: is not there; did you mean other?"),
        ("zzzzzz", "known here: broken, here, other, there"),
        ("batchai", "batchai: no such job"),
        ("", "no such job"),
        ("a\0b", "a·b: no such job"),
        ("x" * 5000, "no such job"),
    ],
)
def test_an_unknown_job_is_told_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        find_job(name)
    assert message in str(caught.value)


def test_an_ambiguous_name_asks_for_the_path() -> None:
    write_job(name="a.yaml")
    write_job(name="jobs/a.yaml")

    with pytest.raises(
        SpecError, match=r"a: is the name of a\.yaml and jobs/a\.yaml: give the path"
    ):
        find_job("a")


def test_without_any_job_init_is_the_remedy() -> None:
    with pytest.raises(SpecError, match="batchai init writes one"):
        find_job("a")
