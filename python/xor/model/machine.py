"""What a machine says of itself, publicly: what one job may take there, and how its lines to others were."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field as Bounded

from xor.model.dataset import NAME, Strict

BackEnd = Annotated[str, Bounded(pattern=r"^[a-z][a-z0-9-]{0,15}$")]


class Capacity(Strict):
    """What one job may take at a machine. A limit that its operator sets, never what is free just now.

    Args:
        cores: of the processor; a hint for estimates.
        oprf: back ends that the machine runs. Names that a reader does not know mean nothing to it.

    Units: bytes.
    """

    memory_bytes: int = Bounded(ge=2**20, le=2**50)
    disk_bytes: int = Bounded(ge=2**20, le=2**60)
    cores: int = Bounded(default=1, ge=1, le=4096)
    oprf: tuple[BackEnd, ...] = Bounded(min_length=1, max_length=16)


class LinkSeen(Strict):
    """How the line to another machine was in earlier jobs, as this machine's system counted it.

    Discloses: to the members of the network, a property of the line. Everything that travels on it has a size
    and a time that follow from padded bounds; nothing here depends on rows or matches.

    Units: microseconds; bytes per second.
    """

    peer: str = Bounded(pattern=NAME)
    rtt_us: int = Bounded(ge=0, le=60_000_000)
    bytes_per_s: int = Bounded(ge=1, le=2**40)


class MachineSeen(Strict):
    """A machine as the service shows it: its word, unsigned, for estimates and early refusals only."""

    player: str = Bounded(pattern=NAME)
    capacity: Capacity
    links: tuple[LinkSeen, ...] = Bounded(default=(), max_length=64)
