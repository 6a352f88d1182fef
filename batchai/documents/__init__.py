"""Files that are no plain text: what they are, what of them a model takes, and their text."""

from batchai.documents.attaching import Attacher
from batchai.documents.extraction import READABLE, text_of
from batchai.documents.inspection import IMAGES, PDF
from batchai.documents.rules import FileRules

__all__ = ["IMAGES", "PDF", "READABLE", "Attacher", "FileRules", "text_of"]
