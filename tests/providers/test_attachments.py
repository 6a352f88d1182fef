"""Images and PDFs on the wire, and what they may cost."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchai.documents import PDF
from batchai.domain import Attachment, Message, ModelSettings, Request
from batchai.errors import SourceError
from batchai.providers import encoded_bytes, estimated_tokens, file_rules, worst_tokens
from batchai.spec.models import Model
from tests.providers.asking import KEY, MODELS, model_at, opened

PROVIDERS = ["anthropic", "openai"]
PNG, PAPER = b"\x89PNG and so on", b"%PDF-1.4 and so on"


def files_in(folder: Path) -> tuple[Attachment, Attachment]:
    image, paper = folder / "a.png", folder / "b.pdf"
    image.write_bytes(PNG)
    paper.write_bytes(PAPER)
    return (
        Attachment(image, "image/png", len(PNG), hashlib.sha256(PNG).digest(), 600, 500),
        Attachment(paper, PDF, len(PAPER), hashlib.sha256(PAPER).digest(), pages=3),
    )


async def encoded(provider: str, files: tuple[Attachment, ...]) -> bytes:
    model = model_at(provider, "http://127.0.0.1:1")
    settings = ModelSettings(model.provider, model.id)
    async with opened(model, key=KEY) as it:
        return it.encode(Request(settings, None, (Message("user", "What is this?", files),), 64))


async def content(provider: str, folder: Path) -> list[dict[str, Any]]:
    body = orjson.loads(await encoded(provider, files_in(folder)))
    parts: list[dict[str, Any]] = body["messages"][0]["content"]
    assert parts[-1] == {"type": "text", "text": "What is this?"}
    return parts


async def test_anthropic_gets_blocks(tmp_path: Path) -> None:
    image, paper, _ = await content("anthropic", tmp_path)

    assert image["type"] == "image"
    assert image["source"]["media_type"] == "image/png"
    assert base64.b64decode(image["source"]["data"]) == PNG
    assert (paper["type"], paper["source"]["media_type"]) == ("document", PDF)
    assert base64.b64decode(paper["source"]["data"]) == PAPER


async def test_openai_gets_parts(tmp_path: Path) -> None:
    image, paper, _ = await content("openai", tmp_path)

    head, _, data = image["image_url"]["url"].partition(",")
    assert (head, base64.b64decode(data)) == ("data:image/png;base64", PNG)
    assert paper["file"]["filename"] == "b.pdf"
    assert base64.b64decode(paper["file"]["file_data"].partition(",")[2]) == PAPER


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_bytes_of_files_are_told_from_those_of_text(
    tmp_path: Path, provider: str
) -> None:
    files = files_in(tmp_path)

    with_files, without = await encoded(provider, files), await encoded(provider, ())

    names = 400  # of blocks and parts
    assert 0 < len(with_files) - encoded_bytes(files) - len(without) < names


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_file_that_changed_since_it_was_looked_at_is_not_sent(
    tmp_path: Path, provider: str
) -> None:
    files = files_in(tmp_path)
    (tmp_path / "a.png").write_bytes(b"another")

    with pytest.raises(SourceError, match=r"a\.png: has changed since"):
        await encoded(provider, files)


def test_files_are_bounded_by_tokens_and_not_by_bytes(tmp_path: Path) -> None:
    image, paper = files_in(tmp_path)

    assert estimated_tokens([image]) == 400  # 600 × 500 / 750
    assert estimated_tokens([paper]) == 7_500
    assert worst_tokens("gpt-5.4-mini", [image, paper]) == 5_000 + 3 * 10_000
    assert worst_tokens("gpt-4o-mini-2024-07-18", [image]) == 48_169


def test_each_model_takes_what_it_can() -> None:
    foreign = model_at("openai", "https://models.example.org/v1", api_key_env="OTHER_KEY")

    assert PDF in file_rules(Model(name=MODELS["anthropic"])).media_types
    assert PDF in file_rules(Model(name=MODELS["openai"])).media_types
    assert PDF not in file_rules(foreign).media_types
    assert "image/png" in file_rules(foreign).media_types
    assert not file_rules(Model(name="local/smollm2-135m")).media_types
