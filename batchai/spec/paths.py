"""Paths of a job file: `{{ vars.x }}` and `${VAR}` filled in, absolute, and within bounds."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchai.errors import SpecError, TemplateError
from batchai.secrets import is_key_name
from batchai.spec.document import Node, wrong
from batchai.spec.kinds import JsonSchema, Reader
from batchai.spec.scalars import text_value
from batchai.templates import compile_template

_VARIABLE = re.compile(r"\$\{([^}]*)(?:\}|$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class FilePath:
    """The path of one file → absolute Path, symlinks resolved, inside the allowed folders."""

    def read(self, node: Node, reader: Reader) -> Path:
        text = filled(node, reader)
        return contained(node, text, reader)

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class InputPath:
    """A file, folder, glob or `-` → absolute path; only what is before a wildcard is resolved."""

    def read(self, node: Node, reader: Reader) -> str:
        text = filled(node, reader)
        if text == "-":
            return text
        fixed, wild = _split_at_wildcard(node.place.base, text)
        folder = contained(node, fixed, reader)
        if ".." in Path(wild).parts:
            raise wrong(node, "must not go up (..) after a wildcard")
        return str(folder / wild) if wild else str(folder)

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


def filled(node: Node, reader: Reader, *, secret_variables: bool = False) -> str:
    """The text of a node with `{{ vars.x }}` and `${VAR}` filled in; raises SpecError.

    Variables that hold keys are refused, so that no job file sends a key to an address of its own;
    `secret_variables` lets passwords through, which database addresses need.
    """
    text = with_vars(node, text_value(node, "a path or address"), reader.variables)
    if not text.strip() or "\0" in text:
        raise wrong(node, "must be a path or address, not empty")

    def value(match: re.Match[str]) -> str:
        if not match[0].endswith("}"):
            raise wrong(node, "${ is not closed: write ${NAME}")
        return _variable(node, match[1], reader.environ, secret_variables=secret_variables)

    return _VARIABLE.sub(value, text)


def with_vars(node: Node, text: str, variables: Mapping[str, Any]) -> str:
    """`text` with `{{ vars.x }}` rendered; raises SpecError with the place of `node`."""
    if "{{" not in text and "{%" not in text:
        return text
    try:
        return compile_template(text, place=str(node.place))({"vars": variables})
    except TemplateError as error:
        raise SpecError(str(error)) from error


def contained(node: Node, text: str, reader: Reader) -> Path:
    """`text` as a resolved absolute path that lies under an allowed folder; raises SpecError."""
    if text.startswith("~"):
        raise wrong(node, "~ is not expanded: write ${HOME} or a path relative to the job file")
    try:
        path = (node.place.base / text).resolve()
        folder = path if path.is_dir() else path.parent
    except (OSError, RuntimeError, ValueError) as error:
        raise wrong(node, f"is no usable path: {error}") from error
    if not is_inside(path, reader.roots):
        raise wrong(
            node,
            f"{path} lies outside the current directory and the job's folder: "
            f"allow it with --allow-path {folder}",
        )
    return path


def is_inside(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a resolved path lies in or below one of the resolved folders."""
    return any(path.is_relative_to(root) for root in roots)


def _variable(node: Node, name: str, environ: Mapping[str, str], *, secret_variables: bool) -> str:
    if not _NAME.fullmatch(name):
        raise wrong(node, "${…} must hold the name of an environment variable, such as ${DATA_DIR}")
    is_password = name.upper().endswith(("PASSWORD", "PASSWD"))
    if is_key_name(name) and not (secret_variables and is_password):
        raise wrong(
            node, f"${{{name}}} may hold a key, and a key is never put into an address or path"
        )
    value = environ.get(name)
    if not value:
        raise wrong(node, f"the environment variable {name} is not set: export {name}=…")
    return value


def _exists(path: Path) -> bool:
    with suppress(OSError):  # a name too long for the file system, a folder that may not be read
        return path.exists()
    return False


def _split_at_wildcard(base: Path, text: str) -> tuple[str, str]:
    """The fixed beginning of a glob and the rest from the first part with a wildcard on."""
    if not _WILD.search(text) or _exists(base / text):
        return text, ""
    parts = Path(text).parts
    first = next(index for index, part in enumerate(parts) if _WILD.search(part))
    return str(Path(*parts[:first])), str(Path(*parts[first:]))
