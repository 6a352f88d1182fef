"""Which provider a model name means, how it is opened, and which keys it looks for."""

import difflib
from urllib.parse import urlsplit

from batchai.errors import ProviderError
from batchai.providers.addresses import checked_base_url
from batchai.providers.base import Provider
from batchai.spec.models import Model

KEYLESS = "none"  # `api_key_env: none`
_HOSTS = {"anthropic": "api.anthropic.com", "openai": "api.openai.com"}
_KEY_VARIABLES: dict[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "local": (),
}


def open_provider(model: Model, *, key: str | None, concurrency: int) -> Provider:
    """The provider of `model`, opened on the running loop; the caller closes it.

    key: None for a keyless server. concurrency: how many requests a model server of our own must
    serve at once; HTTP pools are unbounded, the gate bounds what is in flight.
    Raises ProviderError: unknown provider, refused address, missing key or package.
    """
    check_provider(model)
    if model.provider == "local":
        from batchai.providers.local import open_local

        return open_local(model, concurrency=concurrency)
    _check_key(model, key)
    if model.provider == "anthropic":
        from batchai.providers import anthropic_messages as anthropic

        # the path holds the version, so an address copied with it is taken too
        base_url = _base_url(model, anthropic.OFFICIAL_URL).removesuffix("/v1")
        return anthropic.AnthropicMessages(model, base_url=base_url, key=key)
    from batchai.providers import openai_chat as openai

    return openai.OpenAIChat(
        base_url=_base_url(model, openai.OFFICIAL_URL), key=key, asked_delivery=model.delivery
    )


def key_variables(model: Model) -> tuple[str, ...]:
    """Names of the environment variables that may hold the key; () where none is needed."""
    if model.api_key_env == KEYLESS:
        return ()
    if model.api_key_env is not None:
        return (model.api_key_env,)
    return () if is_foreign(model) else _KEY_VARIABLES.get(model.provider, ())


def is_foreign(model: Model) -> bool:
    """Whether `base_url` names another server than the provider's own: it gets no key of ours."""
    host = urlsplit(model.base_url or "").hostname
    return host is not None and host != _HOSTS.get(model.provider)


def check_provider(model: Model) -> None:
    """Raises ProviderError, naming the nearest provider, where there is none of that name."""
    if model.provider in _KEY_VARIABLES:
        return
    near = difflib.get_close_matches(model.provider, _KEY_VARIABLES, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}/{model.id}?" if near else f"known: {', '.join(_KEY_VARIABLES)}"
    raise ProviderError(
        f"model {model.name}: there is no provider {model.provider!r}; {guess} "
        f"Any OpenAI-compatible server is openai/{model.id} with a base_url"
    )


def _base_url(model: Model, official: str) -> str:
    return checked_base_url(model.base_url) if model.base_url is not None else official


def _check_key(model: Model, key: str | None) -> None:
    names = key_variables(model)
    if names and not key:
        raise ProviderError(
            f"model {model.name}: no key found; set {' or '.join(names)} in the environment "
            "or in .env beside the job file"
        )
    if key and (not key.isascii() or not key.isprintable() or " " in key.strip()):
        raise ProviderError(
            f"model {model.name}: the key in {' or '.join(names)} is no header text"
        )
