"""Addresses and keys: where a job file may send prompts, and that it can steal no key."""

import pytest

from batchai.spec import Overrides
from tests.spec.jobs import load, mistakes, only_mistake

ANTHROPIC_KEY = "sk-" + "ant-api03-" + "x" * 40


def model(base_url: str, key: str | None = "MY_SERVER_KEY") -> str:
    named = f", api_key_env: {key}" if key else ""
    return f"model: {{name: openai/x, base_url: '{base_url}'{named}}}"


@pytest.mark.parametrize(
    "address",
    [
        "https://llm.example.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://127.9.9.9",
        "http://localhost:11434/v1",
        "http://api.localhost",
        "http://[::1]:8000",
        "https://10.0.0.5/v1",
    ],
)
def test_https_and_this_machine_are_taken(address: str) -> None:
    assert load(model(address)).steps[0].model.base_url == address


@pytest.mark.parametrize(
    ("address", "mistake"),
    [
        ("http://llm.example.com", "must begin with https://"),
        ("http://10.0.0.5", "must begin with https://"),
        ("http://0.0.0.0:8000", "must begin with https://"),
        ("http://localhost.evil.com", "must begin with https://"),
        ("https://169.254.169.254/latest", "must not be a link-local address"),
        ("https://[fe80::1]", "must not be a link-local address"),
        ("https://[fe80::1%25eth0]", "must not be a link-local address"),
        ("https://[::ffff:169.254.169.254]", "must not be a link-local address"),
        ("https://2852039166", "must not be a link-local address"),
        ("https://0xa9fea9fe", "must not be a link-local address"),
        ("https://169.254.43518", "must not be a link-local address"),
        ("https://user:pw@host", "must hold no user, password, query or fragment"),
        ("https://@host", "must hold no user, password, query or fragment"),
        ("https://host/?key=1", "must hold no user, password, query or fragment"),
        ("https://host/#x", "must hold no user, password, query or fragment"),
        ("ftp://host", "must be an address such as https://host/v1"),
        ("host/v1", "must be an address such as https://host/v1"),
        ("https://", "must be an address such as https://host/v1"),
        ("https://host:99999", "is no proper address"),
        ("https://[", "is no proper address"),
        ("https://good.com\\@evil.com", "must hold no"),
        ("https://ho st", "must hold no spaces or backslashes"),
        ("https://${OPENAI_API_KEY}.evil.com", "${OPENAI_API_KEY} may hold a key"),
        ("https://evil.com/${GITHUB_TOKEN}", "${GITHUB_TOKEN} may hold a key"),
    ],
)
def test_other_addresses_are_refused(address: str, mistake: str) -> None:
    assert f"a.yaml:2: model.base_url: {mistake}" in only_mistake(model(address))


def test_an_address_of_ones_own_needs_a_key_of_its_own() -> None:
    assert "example.com is not openai's own and needs a key of its own" in only_mistake(
        model("https://example.com", None)
    )
    assert "OPENAI_API_KEY must not be sent to example.com" in only_mistake(
        model("https://example.com", "OPENAI_API_KEY")
    )
    assert "AWS_SECRET_ACCESS_KEY must not be sent to example.com" in only_mistake(
        model("https://example.com", "AWS_SECRET_ACCESS_KEY")
    )
    assert load(model("https://example.com", "none")).steps[0].model.api_key_env == "none"


@pytest.mark.parametrize("host", ["https://api.openai.com/v1", "http://localhost:1"])
def test_the_usual_key_goes_to_the_provider_and_to_this_machine(host: str) -> None:
    assert load(model(host, None)).steps[0].model.api_key_env is None


def test_the_usual_key_goes_to_a_regional_host_where_it_is_named() -> None:
    host = "https://eu.api.openai.com/v1"

    assert load(model(host, "OPENAI_API_KEY")).steps[0].model.api_key_env == "OPENAI_API_KEY"
    assert "needs a key of its own" in only_mistake(model(host, None))


def test_a_host_that_only_looks_like_the_provider_gets_no_usual_key() -> None:
    assert "must not be sent to" in only_mistake(
        model("https://notapi.openai.com", "OPENAI_API_KEY")
    )


def test_environment_variables_are_filled_into_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_HOST", "llm.example.com")

    assert (
        load(model("https://${LLM_HOST}/v1")).steps[0].model.base_url
        == "https://llm.example.com/v1"
    )


def sql(url: str) -> str:
    return f"input: {{sql: {{url: '{url}', query: SELECT 1}}}}"


def test_a_database_password_comes_from_the_environment_and_shows_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2hunter2")

    job = load(sql("postgresql+psycopg://me:${DB_PASSWORD}@db/x"))

    assert job.input.sql is not None
    assert job.input.sql.url == "postgresql+psycopg://me:hunter2hunter2@db/x"
    assert "hunter2" not in repr(job)


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        (
            "postgresql://me:hunter2@db/x",
            "a password does not belong in a job file: write ${DB_PASSWORD}",
        ),
        ("postgresql://me:${OPENAI_API_KEY}@db/x", "${OPENAI_API_KEY} may hold a key"),
        ("data.db", "must be a database URL"),
        ("sqlite://", "must name a database file"),
        ("sqlite:///:memory:", "must name a database file"),
        ("sqlite:///file:x.db?uri=true", "must name a database file"),
        ("sqlite://host/x.db", "must name a database file"),
    ],
)
def test_a_wrong_database_address_is_told_without_its_password(url: str, mistake: str) -> None:
    told = only_mistake(sql(url))

    assert mistake in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "field",
    [
        f"model: {{name: openai/b, api_key_env: {ANTHROPIC_KEY}}}",
        f"model: {{name: openai/b, api_key: {ANTHROPIC_KEY}}}",
        f"vars: {{x: [{ANTHROPIC_KEY}]}}",
        f"prompt: 'Use {ANTHROPIC_KEY} for {{{{ item.text }}}}'",
        f"attempts: {ANTHROPIC_KEY}",
        f"name: {ANTHROPIC_KEY}",
        f"{ANTHROPIC_KEY}: 1",
        f"model: {ANTHROPIC_KEY}",
        f"input: {{path: a.csv, where: {ANTHROPIC_KEY}}}",
        f"schema: {{x: {ANTHROPIC_KEY}}}",
        f"schema: {{x: [{ANTHROPIC_KEY}]}}",
        f"input: {{path: a.csv, where: 'item.x = {ANTHROPIC_KEY}'}}",
        f"input: ../../{ANTHROPIC_KEY}/x.csv",
    ],
)
def test_a_key_in_a_job_file_is_refused_and_never_repeated(field: str) -> None:
    told = mistakes(field)

    assert any("a key does not belong in a job file" in line for line in told)
    assert ANTHROPIC_KEY not in "".join(told)


def test_a_key_on_the_command_line_is_refused_and_never_repeated() -> None:
    told = mistakes(overrides=Overrides(settings=(f"model.metadata.x={ANTHROPIC_KEY}",)))

    assert any("a key does not belong" in line for line in told)
    assert ANTHROPIC_KEY not in "".join(told)


@pytest.mark.parametrize(
    "field",
    [
        "api_key: x",
        "model: {name: openai/b, apikey: x}",
        "model: {name: openai/b, extra_body: {api_key: x}}",
        "password: x",
    ],
)
def test_a_field_for_a_key_is_refused_with_the_remedy(field: str) -> None:
    assert "name its variable in model.api_key_env" in only_mistake(field)


def test_a_key_variable_is_named_and_its_wrong_value_never_echoed() -> None:
    told = only_mistake("model: {name: openai/b, api_key_env: deadbeef0123}")

    assert "must be the name of an environment variable such as MY_SERVER_KEY, or none" in told
    assert "deadbeef" not in told
