"""The virtual loop itself: it judges all timing tests, so it is judged first."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from tests.virtual import EPOCH, DeadlockError, VirtualClock, run_virtual


def test_eight_hours_pass_in_no_time() -> None:
    clock = VirtualClock()

    async def main() -> float:
        begin = clock.monotonic()
        await asyncio.gather(*(asyncio.sleep(hours * 3600) for hours in range(9)))
        assert clock.utcnow() - EPOCH == pytest.approx(timedelta(hours=8), abs=timedelta(seconds=1))
        return clock.monotonic() - begin

    real = time.monotonic()
    assert run_virtual(main()) == pytest.approx(8 * 3600)
    assert time.monotonic() - real < 5


def test_timers_fire_in_order_and_timeouts_end() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(2, order.append, "two")
        loop.call_later(1, order.append, "one")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        return order

    assert run_virtual(main()) == ["one", "two"]


def test_a_wait_that_nothing_can_end_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(main())


def test_time_waits_for_a_thread_at_work() -> None:
    async def main() -> None:
        go = threading.Event()
        asyncio.get_running_loop().call_later(0.01, go.set)
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(go.wait, 30)

    run_virtual(main())


def test_time_waits_for_a_socket() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main() -> bytes:
        async with asyncio.timeout(60):
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"hello\n")
                line = await reader.readline()
                writer.close()
                await writer.wait_closed()
                return line

    assert run_virtual(main()) == b"hello\n"


def test_lateness_is_added_to_every_jump() -> None:
    clock = VirtualClock()

    async def main() -> float:
        begin = clock.monotonic()
        for _ in range(10):
            await asyncio.sleep(1)
        return clock.monotonic() - begin

    assert run_virtual(main(), lateness=lambda: 0.5) == pytest.approx(15)
