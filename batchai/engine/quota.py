"""How many retries a provider's failures may cost, whatever the number of items."""

TOKENS = 500  # as the AWS SDKs' standard mode: a hundred retries in a burst
RETRY_COST = 5
TIMEOUT_COST = 10  # a retry after a timeout: it took a slot for long
SERVED_REFUND = 1  # so that in the long run there is at most one retry for five served requests


class RetryQuota:
    """A bucket of tokens: each retry takes some, each served request gives one back."""

    def __init__(self) -> None:
        self._tokens = TOKENS

    def take(self, cost: int) -> bool:
        """Pay for a retry; False where too little is left, and nothing is taken then."""
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def refund(self) -> None:
        """A request was served."""
        if self._tokens < TOKENS:
            self._tokens += SERVED_REFUND
