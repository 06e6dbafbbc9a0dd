"""How often and how much at once one caller may ask: members by name, strangers by address.

Limits are far above what members need; they keep one of them, or a stranger, from taking all there is.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import NamedTuple

from xor.errors import ResourceError
from xor.wire.http import TOO_MANY


class Rate(NamedTuple):
    """A token bucket: so many requests at once, and so many each second in the long run."""

    burst: float
    per_s: float


MEMBER = Rate(600, 60)
ADDRESS = Rate(3000, 600)
"""One address may stand for a whole data centre, and is all that is known of a stranger."""

MAX_OPEN_OF_MEMBER = 96
"""Requests of one member that wait or send: a poll, and the jobs of a busy day."""
MAX_OPEN_OF_ADDRESS = 700
V6_PREFIX = 64
"""Whoever has one IPv6 address has all 2^64 of its network."""
MAX_KEPT = 20_000


class Limits:
    """The buckets and open requests of one service. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[Hashable, tuple[float, float]] = {}
        self._open: Counter[Hashable] = Counter()

    def take(self, who: Hashable, rate: Rate) -> None:
        """Counts a request.

        Raises:
            ResourceError: there were too many lately.
        """
        now = self._clock()
        left, at = self._left.get(who, (rate.burst, now))
        left = min(rate.burst, left + (now - at) * rate.per_s)
        if left < 1:
            raise _too_many("requests")
        if len(self._left) >= MAX_KEPT:
            # Who has been quiet for long has a full bucket anyway.
            self._left = dict(sorted(self._left.items(), key=lambda each: each[1][1])[MAX_KEPT // 2 :])
        self._left[who] = (left - 1, now)

    def open_requests(self, who: Hashable) -> int:
        return self._open[who]

    @contextmanager
    def open(self, who: Hashable, most: int) -> Iterator[None]:
        """Around a request that may last.

        Raises:
            ResourceError: too many of this caller's are open.
        """
        if self._open[who] >= most:
            raise _too_many("open requests")
        self._open[who] += 1
        try:
            yield
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]


def address_of(host: str) -> str:
    """The caller that an address stands for."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), V6_PREFIX), strict=False))


def _too_many(what: str) -> ResourceError:
    return ResourceError(
        f"too many {what} of one caller",
        code=TOO_MANY,
        hint="wait a second; clients and machines do so by themselves.",
    )
