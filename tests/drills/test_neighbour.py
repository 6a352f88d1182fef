"""A good neighbour: the account's other users do not feel us, and little is left unused.

On a virtual clock, with the gate itself: others who work, rest and burst, drawn from seeds;
accounts as buckets (both large providers'), sliding and fixed windows. Leftover is what the others
leave in each minute, of 80 % of the limit at most, since more is not for us to use.
"""

from collections.abc import Callable

import pytest

from tests.drills.conftest import Figures, Scale
from tests.drills.neighbour.account import Bucket, Counter, Fixed, Load, Provider, Sliding
from tests.drills.neighbour.capacity import MEAN_SECONDS, Capacity, Server
from tests.drills.neighbour.capacity import run as serve
from tests.drills.neighbour.clients import bucket, gated, pool
from tests.drills.neighbour.drill import Account, Client, play

PER_MINUTE = 2_000
USED = 0.9
HARMED = 0.001
SEEDS = range(40, 46)  # none of which the gate was ever tuned on


def _requests(counter: Callable[[int], Counter]) -> Account:
    return Account(lambda: Provider(requests=counter(PER_MINUTE)), PER_MINUTE)


def _openai() -> Account:
    """Tokens are the tightest: max_tokens is reserved, whatever is written."""
    tokens = 200 * PER_MINUTE

    def make() -> Provider:
        return Provider(requests=Bucket(5 * PER_MINUTE), tokens=Bucket(tokens))

    return Account(make, tokens, lambda load: max(load.input_tokens, load.max_tokens))


def _anthropic() -> Account:
    """Output is the tightest; answers are a quarter of max_tokens on average."""
    tokens = 60 * PER_MINUTE

    def make() -> Provider:
        return Provider(
            requests=Bucket(5 * PER_MINUTE),
            input_tokens=Bucket(500 * PER_MINUTE),
            output_tokens=Bucket(tokens),
            is_rough=True,
        )

    return Account(make, tokens, _output)


def _output(load: Load) -> float:
    return load.output_tokens


ACCOUNTS = {
    "requests in a bucket": _requests(Bucket),
    "requests in a sliding window": _requests(Sliding),
    "requests in fixed minutes": _requests(Fixed),
    "tokens as OpenAI counts them": _openai(),
    "output tokens as Anthropic counts them": _anthropic(),
}
OURS = {"uninterrupted": gated(), "killed every five minutes": gated(life=300)}
COMMON = {"token bucket": bucket(PER_MINUTE), "fixed-concurrency pool": pool()}


@pytest.mark.parametrize("account", ACCOUNTS.values(), ids=ACCOUNTS)
@pytest.mark.parametrize("client", OURS.values(), ids=OURS)
def test_others_are_not_disturbed_and_what_they_leave_is_used(
    account: Account, client: Client, scale: Scale, figures: Figures
) -> None:
    score = play(
        account,
        client,
        requests=PER_MINUTE,
        seconds=scale(900, 3_600),
        seeds=SEEDS[: scale(1, 6)],
    )

    figures(used=f"{score.used_share:.1%}", additional_429s=f"{score.harmed_share:.3%}")
    assert score.used_share >= USED
    assert score.harmed_share <= HARMED


@pytest.mark.full
def test_bursts_that_are_large_for_a_sliding_window_are_spared_most_of_the_time(
    figures: Figures,
) -> None:
    """600 a minute: bursts are 2 % of it on average, and only a reserve of 12 % would do for all.

    No client can know of a burst before its own replies tell; so both figures give way here.
    """
    small = Account(lambda: Provider(requests=Sliding(600)), 600)
    score = play(small, gated(), requests=600, seconds=3_600, seeds=SEEDS)

    figures(used=f"{score.used_share:.1%}", additional_429s=f"{score.harmed_share:.3%}")
    assert score.used_share >= 0.8
    assert score.harmed_share <= 5 * HARMED


@pytest.mark.parametrize("account", [ACCOUNTS["requests in a bucket"]], ids=["bucket"])
@pytest.mark.parametrize("client", COMMON.values(), ids=COMMON)
def test_common_clients_disturb_the_others(
    account: Account, client: Client, scale: Scale, figures: Figures
) -> None:
    """For comparison, and so that the drill is known to tell a bad neighbour."""
    score = play(
        account,
        client,
        requests=PER_MINUTE,
        seconds=scale(600, 3_600),
        seeds=SEEDS[: scale(1, 3)],
    )

    figures(used=f"{score.used_share:.1%}", additional_429s=f"{score.harmed_share:.3%}")
    assert score.harmed_share > 100 * HARMED


def test_adaptive_slots_find_a_capacity_and_follow_it(figures: Figures) -> None:
    """64 slots at first, then 24, then 96; a server that refuses what is beyond."""
    phases = (Capacity(0, 64), Capacity(300, 24), Capacity(600, 96))
    server = serve(Server(phases, 900))

    used = {}
    for phase in phases:
        begin, end = int(phase.at) + 100, int(phase.at) + 300
        samples = server.samples[begin:end]
        served = sum(sample.served for sample in samples)
        refused = sum(sample.refused for sample in samples)
        used[phase.slots] = served / (end - begin) / (phase.slots / MEAN_SECONDS)
        assert max(server.levels[begin:end]) <= 1.1 * phase.slots
        assert refused <= 0.1 * served
    figures(**{f"of_{slots}_slots": f"{share:.0%}" for slots, share in used.items()})
    assert min(used.values()) >= 0.75
