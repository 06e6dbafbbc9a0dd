"""Events and answers for one job of the three banks, seen from player-0 or player-1."""

import pytest

from xor.machine.core import Job, sides_of
from xor.machine.events import Allowed, Arrived, Guess, Stream, WorkerDone, WorkerReady
from xor.plan.codec import encode_plan, plan_hash
from xor.plan.placed import PlacedPlan
from xor.plan.relations import JoinKind
from xor.signing import encode
from xor.testing import three_banks as banks
from xor.wire.messages import Approval, ApprovedPolicy, Cancel, Closed, Failure, Kind, Offer, Refusal

Said = Approval | Refusal | Offer | Failure | Cancel | Closed


class Script:
    """What may be said about one plan; the machine acts for `me`, the other player is `peer`."""

    def __init__(self, plan: PlacedPlan, me: str = "player-1", peer: str = "player-0") -> None:
        self.plan = plan
        self.me = me
        self.peer = peer
        self.id = plan_hash(encode_plan(plan))

    @property
    def job(self) -> Job:
        return Job(self.id, banks.NETWORK, self.me)

    def plan_arrives(self, position: int = 1) -> Arrived:
        return Arrived(kind=Kind.PLAN, position=position, payload=encode_plan(self.plan).decode())

    def policies_of(self, player: str) -> tuple[ApprovedPolicy, ...]:
        return tuple(
            ApprovedPolicy(dataset=each.name, owner=each.owner, policy_version=1)
            for each in self.plan.datasets
            if each.player == player
        )

    def allowed(self) -> Allowed:
        return Allowed(policies=self.policies_of(self.me), guesses=(Guess(dataset="accounts_c", amount=7),))

    def approval(self, player: str | None = None, **changes: object) -> Arrived:
        player = player or self.peer
        body = {
            "network": banks.NETWORK,
            "plan": self.id,
            "player": player,
            "policies": self.policies_of(player),
        }
        return self.says(Kind.APPROVAL, Approval.model_validate(body | changes))

    def offer(self, address: str | None = "127.0.0.1:9", key: str = "bb" * 32, **changes: object) -> Arrived:
        body = {"network": banks.NETWORK, "plan": self.id, "player": self.peer} | changes
        return self.says(Kind.OFFER, Offer.model_validate(body | {"job_key": key, "address": address}))

    def failure(self) -> Arrived:
        return self.says(
            Kind.FAILURE,
            Failure(
                network=banks.NETWORK,
                plan=self.id,
                player=self.peer,
                kind="PeerError",
                code="peer.x",
                message="m",
            ),
        )

    def refusal(self) -> Arrived:
        return self.says(
            Kind.REFUSAL,
            Refusal(
                network=banks.NETWORK,
                plan=self.id,
                player=self.peer,
                kind="PolicyDenied",
                code="c",
                message="m",
            ),
        )

    def cancel(self, analyst: str = banks.ANALYST) -> Arrived:
        return self.says(Kind.CANCEL, Cancel(network=banks.NETWORK, plan=self.id, analyst=analyst))

    def closed(self) -> Arrived:
        return self.says(Kind.CLOSED, Closed(network=banks.NETWORK, plan=self.id, code="peer.no-approval"))

    def ready(self, address: str | None = None) -> WorkerReady:
        return WorkerReady(job_key="aa" * 32, address=address)

    def done(self) -> WorkerDone:
        return WorkerDone(
            streams=tuple(
                Stream(node=node, side=side, attempt="0" * 32, header="00", sha256="cc" * 32, bytes=5)
                for node, side in sorted(sides_of(self.plan, self.me))
            )
        )

    def says(self, kind: Kind, document: Said, position: int = 2) -> Arrived:
        return Arrived(kind=kind, position=position, payload=encode(document).decode())


@pytest.fixture(scope="session")
def one() -> Script:
    """One sealed join."""
    return Script(banks.placed(banks.one_direction()))


@pytest.fixture(scope="session")
def script() -> Script:
    """The union of both directions: two sealed joins, so two streams of each player."""
    return Script(banks.placed(banks.both_directions()))


@pytest.fixture(scope="session")
def matched() -> Script:
    """An anti join that player-1 receives: player-0 sends rows to it, and no stream to anybody."""
    anti = banks.join(
        banks.scan("accounts_c"),
        banks.scan("transactions_a"),
        ("account", "ordering_account"),
        kind=JoinKind.ANTI,
    )
    return Script(banks.placed(anti, permits=lambda _: True), me="player-0", peer="player-1")
