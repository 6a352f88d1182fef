"""Starting, watching and ending a local model's child process (local_server.py is inside it)."""

import asyncio
import json
import os
import secrets
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import batchai
from batchai.errors import ProviderError
from batchai.providers.local_server import Recipe
from batchai.providers.wording import one_line

CONTEXT_TOKENS = 2048  # prompt and answer of one request; the small model's own limit is 8,192
START_SECONDS = 300.0  # a large file on a slow disk; the small model takes half a second
STOP_SECONDS = 5.0
_END_SECONDS = 1.0  # a death shows in the process table a moment after its connections broke
_REASON_BYTES = 4096

# -P keeps files of the current directory from shadowing modules; our folder goes last likewise.
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from batchai.providers.local_server import main; main()"
)
# Spinning OpenMP threads made a busy machine three times slower; read when llama.cpp is imported.
_PASSIVE_THREADS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running server. `errors` is the unnamed file that takes its stderr."""

    process: Process
    errors: IO[bytes]
    base_url: str
    api_key: str

    async def ended(self) -> str:
        """Why the server ended by itself, for a person; "" while it runs."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self.process.wait()
        except TimeoutError:
            return ""
        return f"the local model's server ended by itself: {_reason(self.process, self.errors)}"

    async def stop(self) -> None:
        """Return once the process is gone; a second call does nothing."""
        await _end(self.process)
        self.errors.close()


async def start_server(model_file: Path, *, model_name: str, slots: int) -> ModelServer:
    """The server, the model loaded, listening on the loopback; raises ProviderError.

    model_name: what replies say that they come from.
    """
    recipe = Recipe(
        parent=os.getpid(),
        model_path=str(model_file),
        model_name=model_name,
        api_key=secrets.token_urlsafe(24),
        slots=slots,
        context_tokens=CONTEXT_TOKENS,
    )
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - stays open as long as the server
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _BOOT, str(Path(batchai.__file__).parents[1])),
        stdin=PIPE,
        stdout=PIPE,
        stderr=errors,
        env=os.environ | _PASSIVE_THREADS,
        start_new_session=True,  # the terminal's Ctrl-C goes to its foreground group only
    )
    try:
        address = await _address(process, recipe, errors)
    except BaseException:  # also when cancelled: no server may stay behind
        await asyncio.shield(_end(process))
        errors.close()
        raise
    return ModelServer(process, errors, base_url=f"{address}/v1", api_key=recipe.api_key)


async def _address(process: Process, recipe: Recipe, errors: IO[bytes]) -> str:
    """Order the recipe and read where the server listens."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(asdict(recipe)).encode() + b"\n")
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
            if not line:
                await process.wait()
    except TimeoutError as error:
        raise ProviderError(
            f"{recipe.model_path}: not loaded within {START_SECONDS:.0f} s; try a smaller model"
        ) from error
    if not line:
        raise ProviderError(
            f"{recipe.model_path}: the local model's server did not start: "
            f"{_reason(process, errors)}"
        )
    return str(json.loads(line)["address"])


async def _end(process: Process) -> None:
    """By the end of its stdin, by force if that is not heard."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _reason(process: Process, errors: IO[bytes]) -> str:
    """What the process said last and how it ended, on one line."""
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - _REASON_BYTES))
    said = one_line(errors.read().decode(errors="replace"), key=None)
    code = process.returncode
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"{said} ({how})" if said else how
