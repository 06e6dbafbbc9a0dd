"""A signed plan at the three banks, and the state machine that follows it."""

from pathlib import Path

import pytest

from xor.plan.codec import PAYLOAD_TYPE, encode_plan
from xor.plan.place import place
from xor.plan.placed import PlacedPlan
from xor.session import core
from xor.signing import Envelope
from xor.testing import answering, three_banks
from xor.testing.answering import AnsweringService
from xor.testing.three_banks import ANALYST, ENTRIES, NETWORK, NOW, unsafe_key
from xor.wire.messages import JobView
from xor.wire.trust import Trust, agreement_hash


def signed(plan: PlacedPlan, by: str = ANALYST) -> Envelope:
    return Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(unsafe_key(by))


class Followed:
    """A run and the service that answers it, one event at a time."""

    def __init__(self, service: AnsweringService, envelope: Envelope, deadline: float = 100.0) -> None:
        self.service = service
        self.envelope = envelope
        self.run = core.begin(Trust(answering.agreement()), envelope, deadline)

    def take(self, event: core.Event) -> tuple[core.Effect, ...]:
        self.run, effects = core.on_event(self.run, event)
        return effects

    def submit(self) -> tuple[core.Effect, ...]:
        self.take(core.Started())
        return self.take(core.Viewed(self.service.submit(NETWORK, self.envelope)))

    def view(self) -> JobView:
        return self.service.job(NETWORK, self.run.job, self.run.after, 0)


@pytest.fixture
def plan() -> PlacedPlan:
    """One sealed join of both players."""
    return place(
        three_banks.one_direction(),
        network=NETWORK,
        agreement_hash=agreement_hash(answering.agreement()),
        analyst=ANALYST,
        recipients=(ANALYST,),
        policies=dict.fromkeys(ENTRIES, 1),
        not_before=NOW - 60,
        not_after=NOW + 3600,
        nonce="7" * 64,
        signatures={name: three_banks.entry_signature(entry) for name, entry in ENTRIES.items()},
    )


@pytest.fixture
def service(tmp_path: Path) -> AnsweringService:
    return AnsweringService(scratch=tmp_path)


@pytest.fixture
def followed(service: AnsweringService, plan: PlacedPlan) -> Followed:
    return Followed(service, signed(plan))
