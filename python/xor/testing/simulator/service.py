"""The simulated service: production state machine and trust, a list for a disk, and a habit of lying."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from xor.errors import XorError
from xor.plan.placed import PlacedPlan
from xor.service import core
from xor.service.admission import check_plan
from xor.signing import Envelope, SigningKey, canonical, parse_canonical, seal_envelope
from xor.testing.simulator.world import World
from xor.wire.messages import (
    Approval,
    ApprovedPolicy,
    Cancel,
    Closed,
    Entry,
    Failure,
    JobView,
    Kind,
    Manifest,
    Offer,
    Refusal,
)
from xor.wire.trust import Trust

KINDS = {
    Approval.payload_type: Kind.APPROVAL,
    Refusal.payload_type: Kind.REFUSAL,
    Offer.payload_type: Kind.OFFER,
    Manifest.payload_type: Kind.MANIFEST,
    Failure.payload_type: Kind.FAILURE,
    Cancel.payload_type: Kind.CANCEL,
    Closed.payload_type: Kind.CLOSED,
}
TIMEOUTS = core.Timeouts(approvals_s=300, offers_s=120, completion_s=300)
DOWN_S = 5.0


class SimulatedService:
    """Holds `log` and `blobs` durably, everything else in memory. `None` answers mean that it is down."""

    def __init__(self, world: World, trust: Trust, key: SigningKey) -> None:
        self.world = world
        self.trust = trust
        self.key = key
        self.log: list[tuple[Entry, int]] = []
        self.blobs: dict[tuple[str, int, int], bytes] = {}
        self.jobs: dict[str, core.Job] = {}
        self.is_up = True
        world.after(1.0, self._tick)

    # -- requests -----------------------------------------------------------------------------------------

    def submit(self, envelope: Envelope) -> JobView | XorError | None:
        if not self.is_up:
            return None
        try:
            plan, job_id = self.trust.plan(envelope)
            check_plan(plan, self.trust.agreement, int(self.world.now))
            return self._take(job_id, core.Submitted(job_id, plan, envelope, int(self.world.now)))
        except XorError as error:
            return error

    def post(self, envelope: Envelope, blob: bytes | None = None) -> bool | XorError | None:
        """A signed document about a job; with a manifest comes the stream that it vouches for."""
        if not self.is_up:
            return None
        job_id = json.loads(envelope.payload)["plan"]
        entry = Entry(
            position=1, job=job_id, kind=KINDS[envelope.payload_type], envelope=envelope.to_bytes().decode()
        )
        try:
            document = self.trust.read(entry)
            assert not isinstance(document, PlacedPlan)
            if isinstance(document, Manifest) and blob is not None:
                self.blobs[job_id, document.node, document.side] = blob
            answer = self._take(job_id, core.Arrived(document, envelope, int(self.world.now)))
            return None if answer is None else True
        except XorError as error:
            return error

    def entries(self, player: str, after: int) -> tuple[Entry, ...] | None:
        """What a machine's poll brings, true or not."""
        if not self.is_up:
            return None
        mine = tuple(
            entry
            for entry, _ in self.log
            if entry.position > after and player in self.jobs[entry.job].plan.players
        )
        return self._lie(mine, player) if self.world.chance(self.world.faults.lie) else mine

    def view(self, job_id: str, after: int) -> JobView | None:
        """What a client's poll brings; sometimes an entry is withheld."""
        if not self.is_up or job_id not in self.jobs:
            return None
        job = self.jobs[job_id]
        entries = tuple(entry for entry, _ in self.log if entry.job == job_id and entry.position > after)
        return JobView(
            job=job_id,
            network=job.plan.network,
            analyst=job.plan.analyst,
            state=job.state,
            waiting_for=job.waiting_for,
            entries=entries,
        )

    def blob(self, job_id: str, node: int, side: int) -> bytes | None:
        if not self.is_up:
            return None
        blob = self.blobs.get((job_id, node, side))
        if blob is not None and self.world.chance(self.world.faults.lie / 4):
            self.world.note("service alters a stream")
            return blob[:-1] + bytes([blob[-1] ^ 1])
        return blob

    # -- life ---------------------------------------------------------------------------------------------

    def crash(self) -> None:
        """Forgets everything that is not durable and comes back after a while."""
        self.world.note("service crashes")
        self.is_up = False
        self.jobs = {}
        self.world.after(DOWN_S, self._restart)

    def _restart(self) -> None:
        self.jobs = {
            job_id: self.fold(job_id) for job_id in dict.fromkeys(entry.job for entry, _ in self.log)
        }
        self.is_up = True
        self.world.note("service is back")

    def fold(self, job_id: str) -> core.Job:
        """The job as its durable log tells it."""
        job: core.Job | None = None
        for entry, at in self.log:
            if entry.job == job_id:
                job, _ = core.on_event(job, self._event(entry, at), TIMEOUTS)
        assert job is not None
        return job

    def _event(self, entry: Entry, at: int) -> core.Event:
        envelope = Envelope.from_bytes(entry.envelope.encode())
        document = self.trust.read(entry)
        if isinstance(document, PlacedPlan):
            return core.Submitted(entry.job, document, envelope, at)
        return core.Arrived(document, envelope, at)

    def _take(self, job_id: str, event: core.Event) -> JobView | None:
        """One transition: durable first, then visible. A crash may come between the two."""
        job, effects = core.on_event(self.jobs.get(job_id), event, TIMEOUTS)
        for effect in effects:
            match effect:
                case core.Append(slot, envelope, at):
                    position = len(self.log) + 1
                    text = envelope.to_bytes().decode()
                    self.log.append((Entry(position=position, job=job_id, kind=slot.kind, envelope=text), at))
                    self.world.note(f"log {position}: {slot} of {job_id[:6]}")
                    if self.world.chance(self.world.faults.crash):
                        self.crash()
                        return None
                case core.Close(document):
                    self.jobs[job_id] = job
                    return self._take(
                        job_id, core.Arrived(document, seal_envelope(document, self.key), int(self.world.now))
                    )
                case core.Discard():
                    self.blobs = {key: blob for key, blob in self.blobs.items() if key[0] != job_id}
        self.jobs[job_id] = job
        return self.view(job_id, 0)

    def _tick(self) -> None:
        if self.is_up:
            for job_id in tuple(self.jobs):
                if self.is_up:
                    self._take(job_id, core.Tick(int(self.world.now)))
        self.world.after(1.0, self._tick)

    # -- lies ---------------------------------------------------------------------------------------------

    def _lie(self, entries: tuple[Entry, ...], player: str) -> tuple[Entry, ...]:
        """One lie: something withheld, replayed, forged or altered."""
        choices = [self._withhold, self._replay, self._forge_approval, self._alter_plan]
        return self.world.random.choice(choices)(entries, player)

    def _withhold(self, entries: tuple[Entry, ...], _player: str) -> tuple[Entry, ...]:
        self.world.note("service withholds")
        return entries[: self.world.random.randrange(len(entries) + 1)]

    def _replay(self, entries: tuple[Entry, ...], player: str) -> tuple[Entry, ...]:
        old = [entry for entry, _ in self.log if player in self.jobs[entry.job].plan.players]
        if not old:
            return entries
        self.world.note(f"service replays to {player}")
        job = self.world.random.choice(old).job
        # Elsewhere in the log, but no further than the truth: a lie must not make the machine skip it.
        again = (entry.model_copy(update={"position": len(self.log)}) for entry in old if entry.job == job)
        return (*entries, *again)

    def _forge_approval(self, entries: tuple[Entry, ...], player: str) -> tuple[Entry, ...]:
        """An approval of another player that it never gave, signed with the only key that the service has."""
        waiting = [
            job for job in self.jobs.values() if player in job.plan.players and len(job.plan.players) > 1
        ]
        if not waiting:
            return entries
        job = self.world.random.choice(waiting)
        other = next(name for name in job.plan.players if name != player)
        versions: Mapping[str, int] = dict(job.plan.policies)
        policies = tuple(
            ApprovedPolicy(dataset=each.name, owner=each.owner, policy_version=versions[each.name])
            for each in job.plan.datasets
            if each.player == other
        )
        approval = Approval(network=job.plan.network, plan=job.id, player=other, policies=policies)
        text = seal_envelope(approval, self.key).to_bytes().decode()
        self.world.note(f"service forges an approval of {other} to {player}")
        return (*entries, Entry(position=len(self.log), job=job.id, kind=Kind.APPROVAL, envelope=text))

    def _alter_plan(self, entries: tuple[Entry, ...], player: str) -> tuple[Entry, ...]:
        """A plan with a longer validity, under the old signature."""
        plans = [
            entry
            for entry, _ in self.log
            if entry.kind is Kind.PLAN and player in self.jobs[entry.job].plan.players
        ]
        if not plans:
            return entries
        envelope = Envelope.from_bytes(self.world.random.choice(plans).envelope.encode())
        body = parse_canonical(envelope.payload)
        body["not_after"] += 1
        forged = Envelope(envelope.payload_type, canonical(body), envelope.signatures)
        self.world.note(f"service alters a plan for {player}")
        job_id = hashlib.sha256(forged.payload).hexdigest()
        return (
            *entries,
            Entry(position=len(self.log), job=job_id, kind=Kind.PLAN, envelope=forged.to_bytes().decode()),
        )
