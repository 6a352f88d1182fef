"""Which files a model takes, and how large they may be."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from batchai.documents.inspection import PDF
from batchai.domain import Attachment

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileRules:
    """What one model takes. Sizes in bytes of the file (a request holds a third more).

    media_types: what is sent as it is; a PDF is sent as its text where it is not among them.
    """

    media_types: frozenset[str] = field(default_factory=frozenset)
    image_bytes: int = 0
    image_pixels: int = 0  # of the longer edge
    pdf_pages: int = 0
    request_bytes: int = 0  # all files of one request together

    def problem(self, files: Sequence[Attachment]) -> str | None:
        """Why these cannot be sent in one request, with the remedy; None when they can."""
        for file in files:
            if file.media_type not in self.media_types:
                return f"{file.path.name}: the model takes no {file.media_type}"
            if found := self._pdf(file) if file.media_type == PDF else self._image(file):
                return f"{file.path.name}: {found}"
        total = sum(file.size_bytes for file in files)
        if total > self.request_bytes:
            return f"{_mib(total)} of files; one request takes {_mib(self.request_bytes)}"
        return None

    def _pdf(self, file: Attachment) -> str | None:
        if file.pages > self.pdf_pages:
            return f"has {file.pages:,} pages, the model takes {self.pdf_pages:,}; split it"
        return None

    def _image(self, file: Attachment) -> str | None:
        if file.size_bytes > self.image_bytes:
            return f"{_mib(file.size_bytes)}, the model takes {_mib(self.image_bytes)}; shrink it"
        if max(file.width, file.height) > self.image_pixels:
            size = f"{file.width:,} x {file.height:,}"
            return f"has {size} pixels, the model takes {self.image_pixels:,} a side; shrink it"
        return None


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f} MiB"
