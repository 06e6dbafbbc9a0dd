"""The simulated machine: production jobs, core and journal; a crash may come between any two effects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from xor.errors import XorError
from xor.machine.core import Job, kind_of, peers_of
from xor.machine.events import (
    Allowed,
    Arrived,
    CleanUp,
    Clear,
    Cleared,
    Delivered,
    Denied,
    Effect,
    Failed,
    GivePeer,
    Judge,
    Judged,
    KillWorker,
    Send,
    StartWorker,
    Stream,
    Upload,
    Uploaded,
    WorkerDone,
    WorkerReady,
)
from xor.machine.jobs import Jobs
from xor.machine.journal import Journal
from xor.machine.link import is_passing
from xor.plan.placed import Part, PlacedPlan
from xor.signing import Envelope, SigningKey, seal_envelope
from xor.testing.simulator.service import SimulatedService
from xor.testing.simulator.world import World
from xor.wire.messages import Entry
from xor.wire.trust import Trust

Verdict = Callable[[PlacedPlan, int, Journal], Allowed | Denied]
"""Judges a plan at a time, with the ledger of a journal."""

StreamOf = Callable[[PlacedPlan, Part, int], bytes]
"""The ideal stream of a part and side."""

ADDRESS = "127.0.0.1:1"
DOWN_S = 4.0
PEER_TIMEOUT_S = 40.0


class Crash(Exception):
    """The machine dies here."""


@dataclass
class Worker:
    """One worker: its key and the peers that it was given, as (player, their key)."""

    plan: PlacedPlan
    key: str
    peers: dict[str, str] = field(default_factory=dict)
    is_alive: bool = True


@dataclass
class Meeting:
    """Where the workers of a plan find each other: the data plane."""

    workers: dict[str, Worker] = field(default_factory=dict)
    has_met: bool = False

    def try_to_meet(self, players: set[str]) -> bool:
        """Whether everyone has come, alive, and expects exactly the keys that the others have."""
        present = {name: worker for name, worker in self.workers.items() if worker.is_alive}
        self.has_met = self.has_met or (
            players <= present.keys()
            and all(present[name].peers.keys() >= players - {name} for name in players)
            and all(
                present[other].key == key for name in players for other, key in present[name].peers.items()
            )
        )
        return self.has_met


class SimulatedMachine:
    """One player's machine. The journal survives a crash; nothing else does."""

    def __init__(
        self,
        *,
        world: World,
        player: str,
        key: SigningKey,
        trust: Trust,
        service: SimulatedService,
        verdict: Verdict,
        stream_of: StreamOf,
        meetings: dict[str, Meeting],
        on_start: Callable[[str, str], None],
    ) -> None:
        self.world = world
        self.player = player
        self.key = key
        self.trust = trust
        self.service = service
        self.verdict = verdict
        self.stream_of = stream_of
        self.meetings = meetings
        self.on_start = on_start
        self.journal = Journal(None)
        self.disk: dict[tuple[str, int, int], bytes] = {}
        self.is_up = True
        self.life = 0
        self.jobs = self._fresh_jobs()
        self.world.after(0.1, self._poll)
        self.world.after(1.0, self._tick)

    # -- the loop -----------------------------------------------------------------------------------------

    def _poll(self) -> None:
        if not self.is_up:
            return
        life = self.life
        after = self.journal.inbox_position

        def answered(entries: tuple[Entry, ...] | None) -> None:
            if self.life == life and self.is_up:
                for entry in entries or ():
                    self._guarded(partial(self._read, entry))
                self.world.after(0.5, self._poll)

        self.world.request(lambda: self.service.entries(self.player, after), answered)

    def _read(self, entry: Entry) -> None:
        try:
            self.trust.read(entry)
        except XorError:
            self.world.note(f"{self.player} sees through a lie about {entry.kind}")
            return
        payload = Envelope.from_bytes(entry.envelope.encode()).payload.decode()
        self.jobs.handle(entry.job, Arrived(kind=entry.kind, position=entry.position, payload=payload))
        self.journal.inbox_position = max(self.journal.inbox_position, entry.position)

    def _tick(self) -> None:
        if self.is_up:
            self._guarded(lambda: self.jobs.tick(int(self.world.now)))
        self.world.after(5.0, self._tick)

    def _guarded(self, action: Callable[[], None]) -> None:
        if not self.is_up:
            return
        try:
            action()
        except Crash:
            self._crash()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        """Does `action` later, unless the machine has crashed in between."""
        life = self.life
        self.world.after(seconds, lambda: self._guarded(action) if self.life == life else None)

    # -- effects ------------------------------------------------------------------------------------------

    def _perform(self, job: Job, effect: Effect) -> None:
        if self.world.chance(self.world.faults.crash):
            raise Crash
        plan = job.plan
        match effect:
            case Judge() if plan is not None:
                verdict = self.verdict(plan, int(self.world.now), self.journal)
                self.jobs.handle(job.id, Judged(verdict=verdict))
            case Clear() if plan is not None:
                now = int(self.world.now)
                self.jobs.handle(job.id, Cleared(verdict=self.verdict(plan, now, self.journal)), now)
            case Send(document):
                envelope = seal_envelope(document, self.key)
                self._ask(envelope, None, job.id, Delivered(kind=kind_of(document)))
            case StartWorker() if plan is not None:
                self._start_worker(job, plan)
            case GivePeer(player, job_key):
                self._give_peer(job.id, player, job_key)
            case Upload(manifest):
                blob = self.disk[job.id, manifest.node, manifest.side]
                uploaded = Uploaded(node=manifest.node, side=manifest.side)
                self._ask(seal_envelope(manifest, self.key), blob, job.id, uploaded)
            case KillWorker():
                self._kill_worker(job.id)
            case CleanUp():
                self.disk = {place: blob for place, blob in self.disk.items() if place[0] != job.id}

    def _ask(self, envelope: Envelope, blob: bytes | None, job_id: str, then: Delivered | Uploaded) -> None:
        """Posts a document until the service takes it or refuses it for good; the tick asks again."""
        life = self.life

        def answered(answer: bool | XorError | None) -> None:
            if self.life != life or answer is None:
                return
            if isinstance(answer, XorError) and is_passing(answer):
                return
            failed = isinstance(answer, XorError) and blob is not None
            event = (
                Failed(kind="PeerError", code="peer.no-room", message="a stream is refused")
                if failed
                else then
            )
            self._guarded(lambda: self.jobs.handle(job_id, event))

        self.world.request(lambda: self.service.post(envelope, blob), answered)

    # -- the worker ---------------------------------------------------------------------------------------

    def _start_worker(self, job: Job, plan: PlacedPlan) -> None:
        self.on_start(job.id, self.player)
        self.world.note(f"{self.player} starts the worker of {job.id[:6]}")
        key = self.world.random.randbytes(32).hex()
        worker = Worker(plan, key)
        self.meetings.setdefault(job.id, Meeting()).workers[self.player] = worker
        self._later(self.world.delay(), lambda: self._worker_ready(job.id, worker))

    def _worker_ready(self, job_id: str, worker: Worker) -> None:
        if not worker.is_alive:
            return
        self.jobs.handle(job_id, WorkerReady(job_key=worker.key, address=ADDRESS))
        if not peers_of(worker.plan, self.player):
            self._later(self.world.delay(), lambda: self._worker_done(job_id, worker))
        else:
            error = Failed(kind="PeerError", code="peer.absent", message="the other machine did not come")
            self._later(PEER_TIMEOUT_S, lambda: self.jobs.handle(job_id, error) if worker.is_alive else None)

    def _give_peer(self, job_id: str, player: str, job_key: str) -> None:
        worker = self.meetings[job_id].workers[self.player]
        worker.peers[player] = job_key
        self._later(self.world.delay(), lambda: self._meet(job_id, worker))

    def _meet(self, job_id: str, worker: Worker) -> None:
        """Waits for the others, then runs the ideal join."""
        if not worker.is_alive:
            return
        players = {self.player, *peers_of(worker.plan, self.player)}
        if self.meetings[job_id].try_to_meet(players):
            self._later(self.world.delay(), lambda: self._worker_done(job_id, worker))
        else:
            self._later(1.0, lambda: self._meet(job_id, worker))

    def _worker_done(self, job_id: str, worker: Worker) -> None:
        if not worker.is_alive:
            return
        worker.is_alive = False
        streams = []
        for part in worker.plan.parts_of(self.player):
            side = part.players.index(self.player)
            blob = self.stream_of(worker.plan, part, side)
            self.disk[job_id, part.node, side] = blob
            streams.append(
                Stream(
                    node=part.node,
                    side=side,
                    attempt=self._attempt(job_id, part),
                    header="",
                    sha256=hashlib.sha256(blob).hexdigest(),
                    bytes=len(blob),
                )
            )
        self.jobs.handle(job_id, WorkerDone(streams=tuple(streams)))

    def _attempt(self, job_id: str, part: Part) -> str:
        """What both sides agree on: a hash of the keys of the workers that met."""
        keys = sorted(self.meetings[job_id].workers[player].key for player in part.players)
        return hashlib.sha256("".join([job_id, str(part.node), *keys]).encode()).hexdigest()[:32]

    def _kill_worker(self, job_id: str) -> None:
        meeting = self.meetings.get(job_id)
        if meeting and self.player in meeting.workers:
            meeting.workers[self.player].is_alive = False

    # -- crashes ------------------------------------------------------------------------------------------

    def _fresh_jobs(self) -> Jobs:
        return Jobs(self.trust.agreement.network, self.player, self.journal, self._perform)

    def _crash(self) -> None:
        self.world.note(f"{self.player} crashes")
        self.is_up = False
        self.life += 1
        for meeting in self.meetings.values():
            if self.player in meeting.workers:
                meeting.workers[self.player].is_alive = False
        self.world.after(DOWN_S, self._restart)

    def _restart(self) -> None:
        self.world.note(f"{self.player} is back")
        self.is_up = True
        self.jobs = self._fresh_jobs()
        self._guarded(self.jobs.restart)
        self.world.after(0.1, self._poll)
