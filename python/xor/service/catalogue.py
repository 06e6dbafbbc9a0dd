"""What machines announce: datasets with their owners' signatures, and who is online."""

from collections.abc import Sequence
from typing import NamedTuple

from xor.errors import AuthError, UsageError
from xor.model.machine import MachineSeen
from xor.service.store import Store
from xor.signing import Envelope
from xor.wire.messages import Announce, CatalogueItem
from xor.wire.trust import Trust

ONLINE_S = 90
"""A machine counts as online for so long after it was last heard: longer than the longest poll."""


class Item(NamedTuple):
    """A dataset as announced: its name, and the texts of the two envelopes."""

    dataset: str
    entry: str
    policy: str


class Catalogue:
    """The datasets of all networks. Durable is what is offered; who is online is kept in memory too."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard: dict[tuple[str, str], int] = {}
        self._offered: dict[tuple[str, str], tuple[Announce, int]] = {}
        self._said: dict[tuple[str, str], Announce] = {}

    def hear(self, network: str, player: str, now: int) -> None:
        """Notes that a player's machine has just proved itself."""
        self._heard[network, player] = now

    def online(self, now: int) -> int:
        """How many machines were heard of lately. Safe to call from another thread."""
        return sum(now < at + ONLINE_S for at in list(self._heard.values()))

    def announce(self, trust: Trust, said: Announce, now: int) -> None:
        """Takes an announcement; one that says nothing new is written only now and then.

        Raises:
            AuthError: an owner has not signed a dataset, or signed it for another player.
            UsageError: a dataset comes twice or without its policy.
        """
        seat = (said.network, said.player)
        known, until = self._offered.get(seat, (None, 0))
        is_same = known is not None and (known.datasets, known.policies) == (said.datasets, said.policies)
        if not is_same or until < now + ONLINE_S // 2:
            items = checked(trust, said)
            self._store.announce(*seat, items, now + ONLINE_S)
            self._offered[seat] = (said, now + ONLINE_S)
        self._said[seat] = said
        self.hear(*seat, now)

    def machines(self, network: str, now: int) -> tuple[MachineSeen, ...]:
        """What the machines that are online said of themselves; nothing of it is kept on disk."""
        return tuple(
            MachineSeen(player=player, capacity=said.capacity, links=said.links)
            for (of, player), said in sorted(self._said.items())
            if of == network and now < self._heard.get((of, player), 0) + ONLINE_S
        )

    def items(self, network: str, now: int) -> tuple[CatalogueItem, ...]:
        """What a client is shown."""
        return tuple(
            CatalogueItem(
                entry=row.entry,
                policy=row.policy,
                is_online=now < max(row.online_until, self._heard.get((network, row.player), 0) + ONLINE_S),
            )
            for row in self._store.catalogue(network)
        )


def checked(trust: Trust, said: Announce) -> Sequence[Item]:
    """The items of an announcement, each signed by its owner for this player."""
    policies: dict[str, tuple[str, str]] = {}
    for text in said.policies:
        policy = trust.policy(_envelope(text))
        policies[policy.dataset] = (policy.owner, text)
    items: dict[str, Item] = {}
    for text in said.datasets:
        entry = trust.entry(_envelope(text))
        if entry.player != said.player:
            raise AuthError(
                f"dataset '{entry.name}' is at '{entry.player}', not at '{said.player}'",
                code="auth.other-player",
            )
        owner, policy_text = policies.get(entry.name, ("", ""))
        if owner != entry.owner or entry.name in items:
            raise UsageError(
                f"dataset '{entry.name}' is announced twice, or without the policy of its owner",
                code="usage.bad-announcement",
            )
        items[entry.name] = Item(entry.name, text, policy_text)
    return tuple(items.values())


def _envelope(text: str) -> Envelope:
    return Envelope.from_bytes(text.encode())
