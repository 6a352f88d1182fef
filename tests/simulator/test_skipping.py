"""The loop that skips idle time."""

import asyncio
import time
from typing import Any

from batchai.simulator import Fault, Latency, Settings, Simulator, first_attempts
from batchai.simulator.skipping import SkippingLoop
from tests.simulator.clients import ask_gpt


def run_skipping(main: Any) -> Any:
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(main)


async def elapsed(work: Any) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await work
    return loop.time() - began


def test_an_hour_of_sleep_passes_at_once_and_is_measured_as_an_hour() -> None:
    began = time.monotonic()
    hour = run_skipping(elapsed(asyncio.sleep(3600)))

    assert 3600 <= hour < 3601
    assert time.monotonic() - began < 1


def test_work_takes_the_time_that_it_takes() -> None:
    async def work() -> None:
        patience = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.to_thread(time.sleep, 0.05)
        assert not patience.done()
        patience.cancel()

    assert 0.05 <= run_skipping(elapsed(work())) < 1


def test_answers_over_http_take_their_latency_and_no_more() -> None:
    async def main() -> float:
        async with Simulator(Settings(latency=Latency(120.0))) as sim:
            seconds = await elapsed(asyncio.gather(*(ask_gpt(sim, f"No. {n}") for n in range(5))))
            arrived, served = sim.received[0].arrived_at, sim.received[0].served_at
        assert served is not None
        assert 120 <= served - arrived < 121
        return seconds

    assert 120 <= run_skipping(main()) < 122


def test_a_deadline_ends_a_request_that_hangs() -> None:
    async def main() -> bool:
        plan = first_attempts(1, Fault.HANG)
        async with Simulator(Settings(faults=plan)) as sim:
            try:
                async with asyncio.timeout(600):
                    await ask_gpt(sim)
            except TimeoutError:
                return True
        return False

    assert run_skipping(main())


def test_a_port_that_is_taken_is_said_on_a_running_loop_too() -> None:
    async def main(port: int) -> str:
        try:
            async with Simulator(Settings(port=port)):
                return ""
        except Exception as error:  # noqa: BLE001 its words are what is tested
            return str(error)

    with Simulator() as sim:
        assert "give another port" in run_skipping(main(sim.port))
