"""Addresses of a job file: where `model.base_url` and `input.sql.url` may lead."""

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from batchai.secrets import looks_like_key
from batchai.spec.document import Node, wrong
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.paths import contained, filled
from batchai.spec.scalars import text_value

# keys that a job file must not send to an address of its own choice
_USUAL_KEYS = frozenset({
    "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "GH_TOKEN",
})  # fmt: skip
_OWN_HOSTS = {"anthropic": "api.anthropic.com", "openai": "api.openai.com"}


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """https, or http on this machine; no link-local address, user, query or fragment."""

    def read(self, node: Node, reader: Reader) -> str:
        text = filled(node, reader)
        parts = _split(node, text)
        host = host_of(text)
        if parts.scheme not in ("http", "https") or not host:
            raise wrong(
                node, "must be an address such as https://host/v1 or http://127.0.0.1:8000/v1"
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise wrong(
                node, "must hold no user, password, query or fragment: keys go into api_key_env"
            )
        if is_link_local(host):
            raise wrong(node, "must not be a link-local address: metadata services live there")
        if parts.scheme == "http" and not is_loopback(host):
            raise wrong(
                node, "must begin with https://: plain http is for this machine only (127.0.0.1)"
            )
        return text.rstrip("/")

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class SqlUrl:
    """A SQLAlchemy URL: a password only as `${DB_PASSWORD}`, a SQLite file in an allowed folder."""

    def read(self, node: Node, reader: Reader) -> str:
        _refuse_literal_password(node)
        text = filled(node, reader, secret_variables=True)
        dialect, separator, rest = text.partition("://")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?", dialect):
            raise wrong(
                node, "must be a database URL such as sqlite:///data.db or postgresql://host/name"
            )
        if not dialect.startswith("sqlite"):
            return text
        return f"{dialect}:///{_sqlite_file(node, rest, reader)}"

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class NoticeUrl:
    """Where news are sent: https, or http on this machine; a secret in it only as `${VAR}`.

    Read as it is written: its variables are filled in when it is used. is_web: no other scheme.
    """

    is_web: bool = True

    def read(self, node: Node, reader: Reader) -> str:  # noqa: ARG002 - of every kind
        text = text_value(node, "an address")
        if looks_like_key(text):
            raise wrong(node, "a key does not belong in a file: write ${NAME} in its place")
        if "://" not in text and not text.startswith("${"):
            raise wrong(node, "must be an address such as https://host/path, or ${NAME}")
        problem = web_problem(text) if self.is_web and "${" not in text else ""
        if problem:
            raise wrong(node, problem)
        return text

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


def web_problem(url: str) -> str:
    """Why news must not be posted to this address; empty where they may."""
    host = host_of(url)
    scheme = url.partition("://")[0]
    if scheme not in ("http", "https") or not host or is_link_local(host):
        return "must be an address such as https://host/path"
    if scheme == "http" and not is_loopback(host):
        return "must begin with https://: plain http is for this machine only (127.0.0.1)"
    return ""


def host_of(url: str) -> str:
    """The host name of a URL in lower case, without a dot at its end; empty where there is none."""
    return (urlsplit(url).hostname or "").rstrip(".")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by definition."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_link_local(host: str) -> bool:
    """Whether a host is a literal link-local address, in any spelling."""
    address = _address(host)
    return address is not None and address.is_link_local


def key_problem(provider: str, base_url: str, api_key_env: str | None) -> str:
    """Why this key must not go to this address, with the remedy; empty where it may."""
    host = host_of(base_url)
    own = _OWN_HOSTS.get(provider, "")
    if is_loopback(host) or host == own:
        return ""
    if api_key_env is None:
        return (
            f"{host} is not {provider}'s own and needs a key of its own: name its variable, or none"
        )
    is_regional = bool(own) and host.endswith("." + own)
    if api_key_env in _USUAL_KEYS and not is_regional:
        return (
            f"{api_key_env} must not be sent to {host}: name the variable of that server's own key"
        )
    return ""


def _split(node: Node, text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.hostname, parts.port
    except ValueError as error:
        raise wrong(node, f"is no proper address: {error}") from error
    if re.search(r"[\s\\\x00-\x1f]", text):
        raise wrong(node, "must hold no spaces or backslashes")
    return parts


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """A literal address, also in the short, octal and hexadecimal spellings that sockets accept."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host.partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address
    if re.fullmatch(r"[0-9a-fx.]+", host):
        with suppress(OSError):
            return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def _refuse_literal_password(node: Node) -> None:
    text = getattr(node, "text", "")
    user = re.match(r"[^/]*//([^/@]*)@", text)
    password = user[1].partition(":")[2] if user else ""
    if password and "${" not in password:
        raise wrong(
            node, "a password does not belong in a job file: write ${DB_PASSWORD} in its place"
        )


def _sqlite_file(node: Node, rest: str, reader: Reader) -> str:
    name, mark, query = rest.removeprefix("/").partition("?")
    if name in ("", ":memory:") or name.startswith("file:") or not rest.startswith("/"):
        raise wrong(node, "must name a database file, such as sqlite:///data.db")
    path: Path = contained(node, name, reader)
    return f"{path}{mark}{query}"
