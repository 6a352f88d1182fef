"""From a path in a prompt's `attachments` to what goes with the request: a file, or its text."""

from dataclasses import dataclass
from pathlib import Path

from batchai.documents.extraction import is_readable, text_of
from batchai.documents.inspection import PDF, inspect
from batchai.documents.rules import FileRules
from batchai.domain import Attachment
from batchai.errors import SourceError

MAX_FILE_BYTES = 64 * 1024 * 1024
_PLAIN = frozenset({".txt", ".md", ".markdown", ".csv", ".tsv", ".json", ".xml", ".yaml", ".log"})


@dataclass(frozen=True, slots=True)
class Attacher:
    """Opens files for one model.

    folder: what paths are relative to. roots: resolved folders that they must lie in, for the paths
    come from data; () = anywhere. rules: what the model takes.
    """

    folder: Path
    roots: tuple[Path, ...]
    rules: FileRules

    def attach(self, name: str) -> Attachment | str:
        """The file of this path, or its text as a part of the prompt; raises SourceError.

        What the model does not take, and what is no image or PDF, goes as text.
        """
        path = self._found(name)
        data = _content(path)
        suffix = path.suffix.lower()
        if suffix in _PLAIN:
            return _as_text(path, data.decode("utf-8-sig", "replace"))
        is_pdf = data.startswith(b"%PDF-")
        if is_pdf and PDF not in self.rules.media_types:
            return _as_text(path, text_of(data, suffix=".pdf", place=path.name))
        if is_readable(path) and not is_pdf:
            return _as_text(path, text_of(data, suffix=suffix, place=path.name))
        return inspect(path, data, place=path.name)

    def problem(self, files: tuple[Attachment, ...]) -> str | None:
        """Why these cannot go in one request; None when they can."""
        return self.rules.problem(files) if files else None

    def _found(self, name: str) -> Path:
        try:
            path = (self.folder / name).resolve()
            if not path.is_file():
                raise SourceError(f"{name}: there is no such file (from {self.folder.name}/)")
        except (OSError, ValueError) as error:
            raise SourceError(f"{name[:100]!r}: is no usable path") from error
        if self.roots and not any(path.is_relative_to(root) for root in self.roots):
            raise SourceError(
                f"{name}: lies outside of the current directory and the job's folder; allow it "
                "with --allow-path DIR"
            )
        return path


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(f"{path.name}: is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be read: {error.strerror}") from error


def _as_text(path: Path, text: str) -> str:
    return f'<document name="{path.name}">\n{text.strip()}\n</document>'
