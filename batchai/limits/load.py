"""Bytes of the requests in flight: what is attached is held in memory until it is answered."""

from collections.abc import Callable

# Two of the largest requests that providers take. Slots alone would allow 30 MB each.
MOST_BYTES_IN_FLIGHT = 64 * 1024 * 1024


class Load:
    """The bytes that one launch has in flight; its gates share it.

    A request that is larger than `most` goes alone. Each gate holds one more, that waits.
    """

    def __init__(self, most: int = MOST_BYTES_IN_FLIGHT) -> None:
        self._most = most
        self._bytes = 0
        self._watchers: list[Callable[[], None]] = []
        self._is_awaited = False

    def fits(self, size: int) -> bool:
        """Whether a request of so many bytes may leave now; if not, watchers are told when."""
        if self._bytes + size <= self._most or not self._bytes:
            return True
        self._is_awaited = True
        return False

    def take(self, size: int) -> None:
        """A request leaves."""
        self._bytes += size

    def free(self, size: int) -> None:
        """It is done."""
        self._bytes -= size
        if self._is_awaited:
            self._is_awaited = False
            for callback in self._watchers:
                callback()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` when room was made for one that had to wait."""
        self._watchers.append(callback)
