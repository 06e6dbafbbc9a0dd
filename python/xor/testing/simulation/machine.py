"""A machine's process: the production `Machine` over its directory; workers are replaced by ideal ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from xor.errors import XorError
from xor.machine import backup, shell
from xor.machine.core import peers_of
from xor.machine.directory import Directory
from xor.machine.events import Failed, Stream
from xor.machine.journal import Journal
from xor.machine.link import Link
from xor.machine.orders import Finished, Order, Peer, Ready, Word, stream_name
from xor.machine.workers import Routes
from xor.plan.codec import decode_plan
from xor.plan.cost import stream_bytes
from xor.plan.placed import PlacedPlan
from xor.testing.simulation.disk import Disk
from xor.testing.simulation.members import Tables, ideal_stream
from xor.testing.simulation.service import SimulatedService
from xor.testing.simulation.world import LIFE, Life, World
from xor.wire.messages import Inbox

DOWN_S = (1.0, 15.0)
MEETING_S = 30.0
BACKUP = 0.3
"""Of a machine, before it starts."""
ABSENT = Failed(kind="PeerError", code="peer.unreachable", message="the other machine did not come")


class SimulatedLink(Link):
    """The production link; where it would use a socket, the simulated network takes the request."""

    service: SimulatedService
    before: Callable[[str], None]
    """Set on the class for the time of a simulation. `before` hears of each request."""

    async def poll(self, after: int, wait_s: int, now: int, nonce: str) -> Inbox:
        inbox = await super().poll(after, wait_s, now, nonce)
        is_own = inbox.player == self._player
        self.service.world.must(is_own, f"{self._player} believes the inbox of {inbox.player}")
        return inbox

    async def _send(self, request: httpx2.Request) -> bytes:
        type(self).before(self._player)
        body = b"".join([each async for each in request.stream])  # type: ignore[union-attr]
        return await self.service.post(self._player, request, body)


@dataclass(eq=False)
class IdealWorker:
    """One worker: its key, whom it was told to meet, and the life of the machine that it dies with."""

    order: Order
    plan: PlacedPlan
    key: str
    life: Life
    peers: dict[str, Peer] = field(default_factory=dict)
    is_killed: bool = False

    @property
    def is_alive(self) -> bool:
        return self.life.is_alive and not self.is_killed

    @property
    def expects(self) -> frozenset[str]:
        return peers_of(self.plan, self.order.player)


class Meetings:
    """The data plane: all workers that there ever were, and the ideal joins of those that meet."""

    def __init__(self, world: World, content: Tables, on_start: Callable[[IdealWorker], None]) -> None:
        self.world = world
        self.content = content
        self.on_start = on_start
        self.workers: dict[tuple[str, str], list[IdealWorker]] = {}
        self._met: list[list[IdealWorker]] = []

    def came(self, worker: IdealWorker) -> None:
        self.workers.setdefault((worker.order.plan_hash, worker.order.player), []).append(worker)
        self.on_start(worker)

    def told(self, worker: IdealWorker, peer: Peer) -> None:
        """A worker hears whom to meet: it must be a worker of that very job and player."""
        known = {each.key for each in self.workers.get((worker.order.plan_hash, peer.player), ())}
        is_partner = peer.player in worker.expects
        self.world.must(is_partner, f"{worker.order.player} is sent to somebody who has no part in its steps")
        self.world.must(peer.job_key in known, f"{worker.order.player} is sent to a stranger")
        worker.peers.setdefault(peer.player, peer)

    def partners(self, worker: IdealWorker) -> list[IdealWorker] | None:
        """The workers that met: all had come, alive, and each expected exactly the keys of the others."""
        for met in self._met:
            if worker in met:
                return met
        group = [worker, *(each for name in sorted(worker.expects) if (each := self._expected(worker, name)))]
        is_whole = len(group) == 1 + len(worker.expects)
        if not is_whole or any(self._expected(each, worker.order.player) is not worker for each in group[1:]):
            return None
        self._met.append(group)
        return group

    def _expected(self, worker: IdealWorker, player: str) -> IdealWorker | None:
        """The living worker of a player that this one was told to meet, if the line is up."""
        if player not in worker.peers or self.world.is_cut_off(worker.order.player, player):
            return None
        here = self.workers.get((worker.order.plan_hash, player), ())
        return next(
            (each for each in here if each.is_alive and each.key == worker.peers[player].job_key), None
        )

    def attempt(self, group: list[IdealWorker], node: int) -> str:
        """What those who meet agree on."""
        keys = sorted(each.key for each in group)
        return hashlib.sha256(json.dumps([keys, node]).encode()).hexdigest()[:32]


class IdealWorkers:
    """Stands in for `machine.workers.Workers`: no processes, and joins that a trusted party computes."""

    meetings: Meetings
    """Set on the class for the time of a simulation."""

    def __init__(
        self,
        on_word: Callable[[str, Word], None],
        on_failure: Callable[[str, Failed], None],
        *,
        max_jobs: int,  # noqa: ARG002
        job_timeout_s: float,  # noqa: ARG002
    ) -> None:
        self._on_word = on_word
        self._on_failure = on_failure
        self._running: dict[str, IdealWorker] = {}

    async def start(self, order: Order, _routes: Routes) -> None:
        world, life = self.meetings.world, LIFE.get()
        assert life is not None
        worker = IdealWorker(order, decode_plan(order.plan.encode()), world.random.randbytes(32).hex(), life)
        self._running[order.plan_hash] = worker
        self.meetings.came(worker)
        world.loop.create_task(self._work(worker))

    def give_peer(self, job: str, peer: Peer) -> None:
        if job in self._running:
            self.meetings.told(self._running[job], peer)

    def kill(self, job: str) -> None:
        if job in self._running:
            self._running.pop(job).is_killed = True

    async def ended(self, _job: str) -> None:
        """An ideal worker is dead when it is killed."""

    async def _work(self, worker: IdealWorker) -> None:
        world, job = self.meetings.world, worker.order.plan_hash
        await asyncio.sleep(world.delay())
        if not worker.is_killed:
            self._on_word(job, Ready(job_key=worker.key))
        deadline = world.loop.time() + MEETING_S
        while (group := self.meetings.partners(worker)) is None:
            if worker.is_killed:
                return
            if world.loop.time() > deadline:
                self._on_failure(job, ABSENT)
                return
            await asyncio.sleep(1.0)
        await asyncio.sleep(world.delay())
        if not worker.is_killed:
            try:
                self._on_word(job, Finished(streams=self._streams(worker, group)))
            except OSError:
                self._on_failure(job, ABSENT)

    def _streams(self, worker: IdealWorker, group: list[IdealWorker]) -> tuple[Stream, ...]:
        streams = []
        for part in worker.plan.parts_of(worker.order.player):
            for side in (each for each, name in enumerate(part.players) if name == worker.order.player):
                blob = ideal_stream(part, side, self.meetings.content, stream_bytes(part, side))
                (Path(worker.order.directory) / stream_name(part.node, side)).write_bytes(blob)
                streams.append(
                    Stream(
                        node=part.node,
                        side=side,
                        attempt=self.meetings.attempt(group, part.node),
                        header="",
                        sha256=hashlib.sha256(blob).hexdigest(),
                        bytes=len(blob),
                    )
                )
        return tuple(streams)


class SimulatedMachine:
    """One player's machine through all of its lives."""

    def __init__(self, world: World, disk: Disk, player: str, home: Path) -> None:
        self.world = world
        self.disk = disk
        self.player = player
        self.home = home
        self.current: shell.Machine | None = None
        self.was_restored = False
        self._backup: Path | None = None

    def start(self) -> None:
        if self.world.chance(BACKUP) and (self.home / backup.STATE).exists():
            self._backup = self.disk.place()
            backup.make(self.home, self._backup)
        life, context = self.world.born(self.player)
        self.disk.give(life, self.home)
        self.world.note(f"{self.player} {life.number} starts")
        task = self.world.loop.create_task(self._live(), context=context)
        task.add_done_callback(lambda _: self._ended(life, task), context=self.world.nobody)

    async def _live(self) -> None:
        """What `Machine.run` does, without the end: a machine of this world only dies."""
        machine = shell.Machine(Directory(self.home))
        self.current = machine
        machine._directory.jobs.mkdir(mode=0o700, exist_ok=True)
        machine._jobs.restart()
        machine._remove_leftovers()
        loops = (machine._announce_for_ever, machine._poll_for_ever, machine._tick_for_ever)
        await asyncio.gather(machine._until_stuck(), *(loop() for loop in loops))

    def _ended(self, life: Life, task: asyncio.Task[None]) -> None:
        """The process has ended by itself: its disk was full, or a bug."""
        error = None if task.cancelled() else task.exception()
        if not life.is_alive:
            return
        self.world.must(isinstance(error, sqlite3.Error | XorError), f"{self.player} ends with {error!r}")
        life.is_alive = False
        self.world.note(f"{self.player} exits: {error}")
        self.on_cut(life, self.disk.copy(self.home))

    def on_cut(self, _life: Life, copy: Path) -> None:
        self.current = None
        self.home = copy
        if self._backup is not None and self.world.chance(self.world.faults.restored):
            self._restore(self._backup)
        self.world.later(self.world.random.uniform(*DOWN_S), self.start)

    def _restore(self, copy: Path) -> None:
        """What `xor machine restore` does; the owners know which policies the lost disk had seen."""
        self.world.note(f"{self.player} is restored")
        self.was_restored = True
        with closing(Journal(self.home / backup.STATE)) as journal:
            names = Directory(self.home).holdings
            versions = {name: max(1, journal.highest_version(name)) for name in names}
        self.home = self.disk.place()
        backup.restore(copy, self.home, versions, self.world.clock(self.player))
