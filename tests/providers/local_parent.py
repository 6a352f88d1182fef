"""A process that starts a local model's server, says where, and waits to be killed."""

import asyncio
import sys

from batchai.providers.local import open_local
from batchai.spec.models import Model


async def main() -> None:
    provider = open_local(Model(name="local/smollm2-135m"), concurrency=1)
    server = await provider.start()
    sys.stdout.write(f"{server.base_url}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main())
