"""How the lines to other machines were: what the system counted on the channels of earlier jobs.

No probe is sent. After a join the worker reads what the kernel knows of its connections: the smallest round
trip and the rate at which bytes arrived at the peer, all lanes together. The channel carries the OPRF and
nothing after it, so what it carries has sizes and times that follow from padded bounds; what matched is not
there to be seen.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from xor.model.machine import LinkSeen

KEPT = 8
"""Jobs of which the best rate counts: a line is as fast as it was once, but not for ever."""

_TCP_INFO_BYTES = 192
_MIN_RTT = struct.Struct("=I")
_MIN_RTT_AT = 148
_DELIVERY_RATE = struct.Struct("=Q")
_DELIVERY_RATE_AT = 160
"""Offsets of tcpi_min_rtt and tcpi_delivery_rate in Linux's `struct tcp_info`, fixed since 4.9."""


class Seen(NamedTuple):
    """One channel. Units: microseconds; bytes per second."""

    rtt_us: int
    bytes_per_s: int


def observe(lanes: Sequence[socket.socket]) -> Seen | None:
    """What the system knows of a channel; None where it does not say.

    Args:
        lanes: the control lane first. It carries next to nothing where there are others, which take their
            turns, so that their rates add up.
    """
    seen = [_observe(each) for each in lanes]
    known = [each for each in seen if each is not None]
    if len(known) < len(lanes):
        return None
    rates = [each.bytes_per_s for each in known]
    return Seen(min(each.rtt_us for each in known), sum(rates[1:] or rates))


def _observe(connection: socket.socket) -> Seen | None:
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, option, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < _DELIVERY_RATE_AT + _DELIVERY_RATE.size:
        return None
    (rtt_us,) = _MIN_RTT.unpack_from(info, _MIN_RTT_AT)
    (bytes_per_s,) = _DELIVERY_RATE.unpack_from(info, _DELIVERY_RATE_AT)
    is_known = 0 < rtt_us < 60_000_000 and 0 < bytes_per_s < 2**40
    return Seen(rtt_us, bytes_per_s) if is_known else None


class Lines:
    """The lines of one machine to the other players of its network; kept in memory only."""

    def __init__(self, players: Iterable[str]) -> None:
        self._players = frozenset(players)
        self._seen: dict[str, list[Seen]] = {}

    def note(self, peer: str, rtt_us: int, bytes_per_s: int) -> None:
        """Takes what a worker saw. A rate is a lower bound: the worker may have had nothing to send."""
        if peer in self._players:
            self._seen.setdefault(peer, []).append(Seen(rtt_us, bytes_per_s))
            del self._seen[peer][:-KEPT]

    @property
    def seen(self) -> tuple[LinkSeen, ...]:
        """For each peer the shortest round trip and the best rate of its last jobs."""
        return tuple(
            LinkSeen(
                peer=peer,
                rtt_us=min(each.rtt_us for each in jobs),
                bytes_per_s=max(each.bytes_per_s for each in jobs),
            )
            for peer, jobs in sorted(self._seen.items())
        )
