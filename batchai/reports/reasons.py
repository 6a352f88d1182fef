"""Why a launch ended, in words."""

_WORDS = {
    "finished": "finished",
    "interrupted": "interrupted (Ctrl-C)",
    "terminated": "terminated",
    "stopped": "stopped by `batchai stop`",
    "budget": "stopped: the budget is used up",
    "quota": "stopped: the account has no credit left, or its spend limit is reached",
    "auth": "stopped: the provider refused the key",
    "unknown_model": "stopped: the provider does not serve the model at this address",
    # by limits.max_wait, or a minute where it never did
    "outage": "stopped: the provider did not serve for too long",
    "out_of_reach": "stopped: a certificate or a proxy keeps the provider out of reach",
    "stop_if": "stopped: too many items failed (stop_if)",
    "source": "stopped: the input cannot be read further",
    "store": "stopped: the store cannot be written",
    "memory": "stopped: memory ran out",
    "defect": "stopped: batchai itself failed",
    "died": "died (killed, or the power was lost)",
}


def why_ended(reason: str | None) -> str:
    """`stopped: the budget is used up`; None, where no launch worked yet, is empty."""
    return "" if reason is None else _WORDS.get(reason, reason)
