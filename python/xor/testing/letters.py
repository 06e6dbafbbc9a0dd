"""What the members of the three banks' network say about one plan, signed. For tests of whoever reads it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from xor.plan.codec import PAYLOAD_TYPE, encode_plan, plan_hash
from xor.plan.placed import PlacedPlan
from xor.signing import Envelope, seal_envelope
from xor.testing.three_banks import ANALYST, unsafe_key
from xor.wire.messages import (
    Announce,
    Approval,
    ApprovedPolicy,
    Cancel,
    Closed,
    Failure,
    Login,
    Manifest,
    Offer,
    Poll,
    Progress,
    Refusal,
)

Said = Approval | Refusal | Offer | Manifest | Failure | Cancel | Closed


@dataclass(frozen=True)
class Letters:
    """Documents about `plan`; `signed` puts them into an envelope of the member that they name."""

    plan: PlacedPlan

    @property
    def job(self) -> str:
        return plan_hash(encode_plan(self.plan))

    @property
    def envelope(self) -> Envelope:
        """The plan itself, signed by its analyst."""
        return Envelope(PAYLOAD_TYPE, encode_plan(self.plan), ()).signed_by(unsafe_key(self.plan.analyst))

    @property
    def streams(self) -> tuple[tuple[str, int, int], ...]:
        """Player, node and side of every stream of the plan."""
        return tuple(
            (player, part.node, side) for part in self.plan.parts for side, player in enumerate(part.players)
        )

    def approval(self, player: str) -> Approval:
        policies = tuple(
            ApprovedPolicy(dataset=each.name, owner=each.owner, policy_version=1)
            for each in self.plan.datasets
            if each.player == player
        )
        return Approval(network=self.plan.network, plan=self.job, player=player, policies=policies)

    def refusal(self, player: str) -> Refusal:
        return Refusal(
            network=self.plan.network,
            plan=self.job,
            player=player,
            kind="PolicyDenied",
            code="policy.denied",
            message="no",
        )

    def offer(self, player: str, job_key: str = "bb" * 32) -> Offer:
        return Offer(network=self.plan.network, plan=self.job, player=player, job_key=job_key)

    def manifest(self, player: str, node: int, side: int, content: bytes = b"stream") -> Manifest:
        return Manifest(
            network=self.plan.network,
            plan=self.job,
            player=player,
            node=node,
            side=side,
            attempt="0" * 32,
            header="00",
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
        )

    def failure(self, player: str, code: str = "peer.interrupted") -> Failure:
        return Failure(
            network=self.plan.network,
            plan=self.job,
            player=player,
            kind="PeerError",
            code=code,
            message="stage ended",
        )

    def cancel(self, analyst: str = ANALYST) -> Cancel:
        return Cancel(network=self.plan.network, plan=self.job, analyst=analyst)

    def progress(self, player: str, done: int = 1) -> Progress:
        return Progress(
            network=self.plan.network, plan=self.job, player=player, node=0, step="oprf", done=done, total=8
        )


def signed(document: Said | Progress | Poll | Announce | Login, by: str | None = None) -> Envelope:
    """The document signed by the member that it names, or by somebody else."""
    if by is None:
        member = "service" if isinstance(document, Closed) else getattr(document, "player", None)
        by = member or document.analyst  # type: ignore[union-attr]
    return seal_envelope(document, unsafe_key(by))
