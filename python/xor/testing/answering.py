"""A service in memory whose machines answer at once, or as a test tells them: for tests of clients.

Signatures are real (with keys that anybody can derive), sockets, clocks and private joins are not.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel

from xor import _core
from xor.errors import UsageError
from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.model.machine import MachineSeen
from xor.plan.cost import stream_bytes
from xor.plan.placed import Part, PlacedPlan
from xor.plan.spec import release_spec
from xor.policy.document import Policy
from xor.session.profile import Profile
from xor.session.transport import NoAnswer
from xor.signing import Envelope, SigningKey, seal_envelope
from xor.testing import three_banks
from xor.testing.three_banks import ANALYST, ENTRIES, NETWORK, unsafe_key
from xor.wire.messages import (
    Approval,
    ApprovedPolicy,
    Cancel,
    CatalogueItem,
    Entry,
    Failure,
    JobState,
    JobView,
    Kind,
    Manifest,
    Measured,
    NetworkView,
    Offer,
    Refusal,
)
from xor.wire.trust import Trust, agreement_hash

SEAL_SEED = hashlib.sha256(b"seal key of the fraud desk").digest()
KINDS: Mapping[type[BaseModel], Kind] = {
    Approval: Kind.APPROVAL,
    Refusal: Kind.REFUSAL,
    Offer: Kind.OFFER,
    Manifest: Kind.MANIFEST,
    Failure: Kind.FAILURE,
    Cancel: Kind.CANCEL,
}


@cache
def agreement() -> Agreement:
    """The three banks' agreement, with a seal key that opens something."""
    body = three_banks.agreement()
    public = _core.seal_public_key(SEAL_SEED).hex()
    analysts = tuple(each.model_copy(update={"seal_key": public}) for each in body.analysts)
    return body.model_copy(update={"analysts": analysts})


def profile(folder: Path, port: int = 3000) -> Profile:
    """The fraud desk's profile; its keys lie in `folder`."""
    paths = (folder / "fraud-desk.key", folder / "fraud-desk.seal")
    if not paths[0].exists():
        unsafe_key(ANALYST).save(paths[0])
        SigningKey(SEAL_SEED).save(paths[1])
    pinned = {NETWORK: agreement_hash(agreement())}
    return Profile("localhost", port, ANALYST, signing_key=paths[0], seal_key=paths[1], networks=pinned)


class ManualClock:
    """Time passes when somebody sleeps, and a little with every look."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        self.seconds += 0.001
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


Answers = Callable[["AnsweringService", PlacedPlan, str], None]


@dataclass
class AnsweringService:
    """Implements `session.transport.Transport`. Change its fields to make it misbehave.

    Args:
        silent: players that never answer.
        answers: what machines say to a plan; `all_agree` unless a test says otherwise.
        texts: of policies, by dataset; the others are permissive.
        tables: the rows of released parts, by node; sealed parts get streams that nothing opens.
        machines: what the service says that machines said of themselves.
        lost_requests, lost_answers: how many more are lost; of the latter the effect takes place.
        clock: moved on by the time that a poll waits in vain.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    silent: set[str] = field(default_factory=set)
    answers: Answers | None = None
    tables: Mapping[int, pa.Table] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    entries: Mapping[str, DatasetEntry] = field(default_factory=lambda: dict(ENTRIES))
    machines: tuple[MachineSeen, ...] = ()
    state: JobState = JobState.RUNNING
    lost_requests: int = 0
    lost_answers: int = 0
    signers: Mapping[str, str] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    blobs: dict[tuple[int, int], bytes] = field(default_factory=dict)
    plan: Envelope | None = None
    scratch: Path = Path("/dev/null")

    def network(self, name: str) -> NetworkView:
        self.requests.append("network")
        if name != NETWORK:
            raise UsageError(f"no network '{name}'", code="usage.unknown-network")
        signed = seal_envelope(agreement(), *(unsafe_key(each.name) for each in agreement().owners))
        items = tuple(self._item(entry) for entry in self.entries.values())
        return NetworkView(network=name, agreement=_text(signed), datasets=items, machines=self.machines)

    def submit(self, network: str, envelope: Envelope) -> JobView:  # noqa: ARG002
        self.requests.append("submit")
        self._lose(self.lost_requests, "lost_requests")
        plan, job = Trust(agreement()).plan(envelope)
        if self.plan is None:
            self.plan = envelope
            self._append(Kind.PLAN, envelope, job)
            (self.answers or all_agree)(self, plan, job)
        self._lose(self.lost_answers, "lost_answers")
        return self._view(job, 0)

    def job(self, network: str, job: str, after: int, wait_s: int) -> JobView:  # noqa: ARG002
        self.requests.append("poll")
        self._lose(self.lost_answers, "lost_answers")
        view = self._view(job, after)
        if not view.entries:
            self.clock.sleep(wait_s)
        return view

    def jobs(self, network: str) -> tuple[JobView, ...]:  # noqa: ARG002
        return tuple(self._view(each.job, 10**6) for each in self.log if each.kind is Kind.PLAN)

    def post(self, job: str, envelope: Envelope) -> None:
        self.requests.append("post")
        Trust(agreement()).cancel(envelope)
        self._append(Kind.CANCEL, envelope, job)
        self.state = JobState.CANCELLED

    def download(
        self,
        network: str,  # noqa: ARG002
        job: str,  # noqa: ARG002
        key: tuple[int, int],
        path: Path,
        *,
        size: int,  # noqa: ARG002
        progress: Callable[[int], None],
    ) -> tuple[str, int]:
        self.requests.append("download")
        self._lose(self.lost_answers, "lost_answers")
        blob = self.blobs[key]
        path.write_bytes(blob)
        progress(len(blob))
        return hashlib.sha256(blob).hexdigest(), len(blob)

    def close(self) -> None:
        self.requests.append("close")

    def say(self, document: BaseModel, by: str, job: str) -> None:
        """Logs what a member says, signed by it (or by whom `signers` puts in its place)."""
        envelope = seal_envelope(document, unsafe_key(self.signers.get(by, by)))
        self._append(KINDS[type(document)], envelope, job)

    def seal(self, plan: PlacedPlan, job: str) -> Sequence[Manifest]:
        """Stores the streams of all parts and gives their manifests."""
        return [
            self._stream(plan, job, part, side) for part in plan.parts for side in range(len(part.players))
        ]

    def _stream(self, plan: PlacedPlan, job: str, part: Part, side: int) -> Manifest:
        blob = (b"ciphertext %d %d" % (part.node, side)).ljust(stream_bytes(part, side))
        header, attempt = b"header", "0" * 32
        if part.placement.at is not None and part.node in self.tables:
            path = self.scratch / f"{part.node}.stream"
            spec = release_spec(plan, job, part, agreement())
            report = _core.release_table(spec, self.tables[part.node], str(path), lambda *_: None)
            blob, header, attempt = path.read_bytes(), report["header"], report["attempt"] or attempt
        self.blobs[part.node, side] = blob
        return Manifest(
            network=NETWORK,
            plan=job,
            player=part.players[side],
            node=part.node,
            side=side,
            attempt=attempt,
            header=header.hex(),
            sha256=hashlib.sha256(blob).hexdigest(),
            bytes=len(blob),
            sent_bytes=1000 + side,
            steps=(Measured(step="seal", milliseconds=1500, sent_bytes=1000 + side),),
        )

    def _item(self, entry: DatasetEntry) -> CatalogueItem:
        policy: Policy = three_banks.policies(self.texts)[entry.name].policy
        owner = unsafe_key(self.signers.get(entry.owner, entry.owner))
        return CatalogueItem(
            entry=_text(seal_envelope(entry, owner)),
            policy=_text(seal_envelope(policy, owner)),
            is_online=True,
        )

    def _append(self, kind: Kind, envelope: Envelope, job: str) -> None:
        self.log.append(Entry(position=len(self.log) + 1, job=job, kind=kind, envelope=_text(envelope)))

    def _view(self, job: str, after: int) -> JobView:
        entries = tuple(each for each in self.log if each.position > after)
        return JobView(job=job, network=NETWORK, analyst=ANALYST, state=self.state, entries=entries)

    def _lose(self, count: int, name: str) -> None:
        if count:
            setattr(self, name, count - 1)
            raise NoAnswer("the service at localhost:3000 cannot be reached", hint="does it run?")


def all_agree(service: AnsweringService, plan: PlacedPlan, job: str) -> None:
    """Every machine that is not silent approves, offers, and stores its streams."""
    for player in plan.players:
        if player not in service.silent:
            service.say(approval(plan, job, player), player, job)
            service.say(Offer(network=NETWORK, plan=job, player=player, job_key="0" * 64), player, job)
    if not service.silent & set(plan.players):
        for manifest in service.seal(plan, job):
            service.say(manifest, manifest.player, job)
        service.state = JobState.RELEASED


def approval(plan: PlacedPlan, job: str, player: str) -> Approval:
    approved = tuple(
        ApprovedPolicy(dataset=entry.name, owner=entry.owner, policy_version=1)
        for entry in plan.datasets
        if entry.player == player
    )
    return Approval(network=NETWORK, plan=job, player=player, policies=approved)


def _text(envelope: Envelope) -> str:
    return envelope.to_bytes().decode()
