"""Under which conditions a plan would run: lines between machines and what a job may take at each.

**Hints change cost, never security.** Lines and capacities reach a client through the service, which may
invent them. They decide which back end a client asks for, what it estimates and whether it asks at all:

1. every back end gives the same function under the same malicious checks: a lie gets no weaker one;
2. what differs, how many keys a cheating partner may test, is a disclosure of the plan, and each owner's
   machine judges it whatever made the client choose;
3. bytes and rounds follow from the signed plan alone;
4. a machine reads no hint: its limits stand in its own settings.

Who invents hints makes jobs slow or keeps them from being asked for, which whoever carries all messages can
do anyway. Nor do hints tell of data: they are counted on a channel where sizes and times follow from bounds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from xor.model.machine import Capacity, LinkSeen, MachineSeen
from xor.plan.oprf.exchange import BACK_ENDS, Oprf


@dataclass(frozen=True, slots=True)
class Line:
    """The line between two players, the slower of its directions.

    Units: seconds; bytes per second.
    """

    rtt_s: float
    bytes_per_s: float
    is_measured: bool

    def seconds(self, sent_bytes: int, rounds: int) -> float:
        """How long a fresh channel takes for that many bytes each way, with that many turns at each player.

        Both directions travel at once. A turn is one way, so half a round trip; one more way begins and three
        round trips connect: TCP, TLS and the word to go.
        """
        return sent_bytes / self.bytes_per_s + ((rounds + 1) / 2 + 3) * self.rtt_s


ASSUMED_LINE: Final = Line(rtt_s=0.010, bytes_per_s=125e6, is_measured=False)
"""1 Gbit/s and 10 ms: two data centres of one region."""
ASSUMED_CORES: Final = 2


@dataclass(frozen=True)
class Conditions:
    """What is known of machines and lines; what is not is assumed.

    Args:
        capacities: by player.
        lines: by pair of players.
        back_ends: what may be chosen.
    """

    capacities: Mapping[str, Capacity] = field(default_factory=dict)
    lines: Mapping[frozenset[str], Line] = field(default_factory=dict)
    back_ends: tuple[Oprf, ...] = BACK_ENDS

    def line(self, one: str, other: str) -> Line:
        return self.lines.get(frozenset((one, other)), ASSUMED_LINE)

    def cores(self, player: str) -> int:
        known = self.capacities.get(player)
        return known.cores if known else ASSUMED_CORES

    def refusing(self, oprf: Oprf, players: Iterable[str]) -> tuple[str, ...]:
        """The players of which it is known that they do not run this back end."""
        known = ((each, self.capacities.get(each)) for each in players)
        return tuple(each for each, capacity in known if capacity and oprf not in capacity.oprf)


ASSUMED: Final = Conditions()


def conditions(machines: Iterable[MachineSeen]) -> Conditions:
    """What machines said, as the service passes it on.

    Where both ends of a line speak of it, the slower word counts.
    """
    known = {each.player: each for each in machines}
    seen: dict[frozenset[str], list[LinkSeen]] = {}
    for player, machine in known.items():
        for link in machine.links:
            if link.peer in known and link.peer != player:
                seen.setdefault(frozenset((player, link.peer)), []).append(link)
    return Conditions(
        {player: machine.capacity for player, machine in known.items()},
        {
            pair: Line(
                rtt_s=max(each.rtt_us for each in links) / 1e6,
                bytes_per_s=float(min(each.bytes_per_s for each in links)),
                is_measured=True,
            )
            for pair, links in seen.items()
        },
    )
