"""Where a provider may be: which base URLs are taken, and how they are completed."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from batchai.errors import ProviderError


def checked_base_url(base_url: str) -> str:
    """`base_url` without a slash at its end; raises ProviderError with the remedy.

    https everywhere but on loopback, so that neither prompt nor key travels in clear; no link-local
    addresses (cloud metadata services live there); no user, query or fragment.
    """
    parts = urlsplit(base_url)
    place = f"model.base_url {_shown(parts)}"
    host = _host(parts, place)
    if parts.scheme not in ("http", "https"):
        raise ProviderError(f"{place}: must begin with https:// (or http:// on this machine)")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ProviderError(
            f"{place}: must be scheme, host, port and path only; keys belong in api_key_env"
        )
    if _is_link_local(host):
        raise ProviderError(f"{place}: link-local addresses are refused")
    if parts.scheme == "http" and not is_loopback(host):
        raise ProviderError(
            f"{place}: plain http would show prompts and key to the network; use https:// "
            "(http:// is for servers on this machine)"
        )
    return base_url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine by definition."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(parts: SplitResult, place: str) -> str:
    try:
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ProviderError(f"{place}: {error}") from error
    if not host:
        raise ProviderError(f"{place}: names no host; write for example http://127.0.0.1:8000/v1")
    return host


def _is_link_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_link_local or bool(mapped and mapped.is_link_local)


def _shown(parts: SplitResult) -> str:
    """The address without user and password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
