"""Which provider a name means, which key it gets, and which addresses are refused."""

import pytest

from batchai.errors import ProviderError
from batchai.providers import key_variables, open_provider
from batchai.providers.addresses import checked_base_url
from batchai.spec.models import Model


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("antropic/claude-haiku-4-5", "did you mean anthropic/claude-haiku-4-5?"),
        ("opanai/gpt-5.4-mini", "did you mean openai/gpt-5.4-mini?"),
        ("mistral/mistral-small", "openai/mistral-small with a base_url"),
    ],
)
def test_an_unknown_provider_is_refused_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(ProviderError) as refused:
        open_provider(Model(name=name), key="sk-1", concurrency=1)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Model(name="anthropic/x"), ("ANTHROPIC_API_KEY",)),
        (Model(name="openai/x"), ("OPENAI_API_KEY",)),
        (Model(name="openai/x", base_url="https://api.openai.com/v1"), ("OPENAI_API_KEY",)),
        (Model(name="openai/x", api_key_env="TEAM_KEY"), ("TEAM_KEY",)),
        (Model(name="openai/x", base_url="https://other.example/v1"), ()),
        (Model(name="openai/x", base_url="https://other.example/v1", api_key_env="K"), ("K",)),
        (Model(name="openai/x", api_key_env="none"), ()),
        (Model(name="local/smollm2-135m"), ()),
    ],
    ids=[
        "anthropic",
        "openai",
        "official address",
        "own variable",
        "other server",
        "other server with a key",
        "keyless",
        "local",
    ],
)
def test_a_key_is_only_for_the_server_that_it_belongs_to(
    model: Model, names: tuple[str, ...]
) -> None:
    assert key_variables(model) == names


def test_a_missing_key_names_the_variable() -> None:
    with pytest.raises(
        ProviderError, match=r"set ANTHROPIC_API_KEY in the environment or in \.env"
    ):
        open_provider(Model(name="anthropic/claude-haiku-4-5"), key=None, concurrency=1)


def test_a_broken_key_is_refused_and_not_shown() -> None:
    with pytest.raises(ProviderError) as refused:
        open_provider(Model(name="openai/x"), key="sk-canary\nX-Evil: 1", concurrency=1)

    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://llm.example.com/v1",
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000",
        "http://[::1]:8000/v1",
        "https://10.0.0.5/v1",
    ],
)
def test_https_and_this_machine_are_fine(base_url: str) -> None:
    assert checked_base_url(base_url + "/") == base_url


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://llm.example.com/v1", "use https://"),
        ("http://10.0.0.5/v1", "use https://"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://[fe80::1]/v1", "link-local"),
        ("https://[::ffff:169.254.169.254]/v1", "link-local"),
        ("https://me:secret@llm.example.com/v1", "keys belong in api_key_env"),
        ("https://llm.example.com/v1?key=secret", "keys belong in api_key_env"),
        ("ftp://llm.example.com", "must begin with https://"),
        ("llm.example.com/v1", "names no host"),
        ("https://llm.example.com:port/v1", "port"),
    ],
)
def test_other_addresses_are_refused(base_url: str, words: str) -> None:
    with pytest.raises(ProviderError) as refused:
        checked_base_url(base_url)

    assert words.lower() in str(refused.value).lower()
    assert "secret" not in str(refused.value)
