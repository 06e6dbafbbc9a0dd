"""The agreement: who is in a network, under which keys, and where plaintext may be."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeVar

from pydantic import Field as Bounded

from xor.errors import UsageError
from xor.model.dataset import NAME, Strict

Zone = Literal["premises", "clean room"]
HEX_32_BYTES = r"^[0-9a-f]{64}$"


class Owner(Strict):
    """An organization; `key` is its Ed25519 public key in hex."""

    name: str = Bounded(pattern=NAME)
    key: str = Bounded(pattern=HEX_32_BYTES)


class Player(Strict):
    """A seat: the machine that acts for it, its zone and who operates it.

    Args:
        key: the machine's Ed25519 public key in hex.
        zone: `premises` are those of `owner`; a `clean room` has none.
        is_simulated: the clean room has NO HARDWARE PROTECTION.
    """

    name: str = Bounded(pattern=NAME)
    key: str = Bounded(pattern=HEX_32_BYTES)
    zone: Zone
    owner: str | None = Bounded(default=None, pattern=NAME)
    is_simulated: bool = False

    def model_post_init(self, _context: object) -> None:
        if (self.zone == "premises") != (self.owner is not None):
            raise ValueError("premises belong to an owner, a clean room to none")
        if self.is_simulated and self.zone != "clean room":
            raise ValueError("only a clean room can be simulated")


class Analyst(Strict):
    """A person who may ask: Ed25519 key for signing, X-Wing public key (hex) for sealing."""

    name: str = Bounded(pattern=NAME)
    key: str = Bounded(pattern=HEX_32_BYTES)
    seal_key: str = Bounded(pattern=r"^[0-9a-f]{2432}$")


class Agreement(Strict):
    """A network: signed by all owners over identical bytes, pinned by machines and clients.

    Units: `not_before` and `not_after` are seconds since 1970 UTC.
    """

    payload_type: ClassVar[str] = "application/vnd.xor.agreement.v1+json"

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    owners: tuple[Owner, ...] = Bounded(min_length=1, max_length=64)
    players: tuple[Player, ...] = Bounded(min_length=1, max_length=64)
    analysts: tuple[Analyst, ...] = Bounded(min_length=1, max_length=1024)
    service_key: str = Bounded(pattern=HEX_32_BYTES)
    not_before: int
    not_after: int

    def model_post_init(self, _context: object) -> None:
        names = [member.name for group in (self.owners, self.players, self.analysts) for member in group]
        if len(set(names)) != len(names):
            raise ValueError("two members share a name")
        keys = [member.key for group in (self.owners, self.players, self.analysts) for member in group]
        if len({*keys, self.service_key}) != len(keys) + 1:
            raise ValueError("two members share a key")
        if not {player.owner for player in self.players} - {None} <= {owner.name for owner in self.owners}:
            raise ValueError("premises belong to an owner that is not a member")

    def player(self, name: str) -> Player:
        return _named(self.players, name, "player", self.network)

    def owner(self, name: str) -> Owner:
        return _named(self.owners, name, "owner", self.network)

    def analyst(self, name: str) -> Analyst:
        return _named(self.analysts, name, "analyst", self.network)


Member = TypeVar("Member", Owner, Player, Analyst)


def _named(members: tuple[Member, ...], name: str, role: str, network: str) -> Member:
    for member in members:
        if member.name == name:
            return member
    raise UsageError(
        f"network '{network}' has no {role} '{name}'",
        code=f"usage.unknown-{role}",
        hint=f"it has: {', '.join(member.name for member in members)}.",
    )
