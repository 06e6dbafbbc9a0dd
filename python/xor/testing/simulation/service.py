"""The service's process: the production `Service` over a directory, reached through a network that lies.

The real one is honest; `Liar` stands in front of it and has its key. So whatever a dishonest service could
answer is answered, while the log behind it stays what an honest one would keep. At some moments an operator
starts a second service over the same database, or puts the database back from a copy.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import Context
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from xor.errors import XorError
from xor.service.core import Append, Job, Timeouts
from xor.service.jobs import Settings
from xor.service.limits import Limits
from xor.service.shell import Service
from xor.service.store import Store
from xor.signing import Envelope, parse_canonical
from xor.testing.simulation.disk import Disk
from xor.testing.simulation.liar import Liar
from xor.testing.simulation.members import ANALYST, NETWORK
from xor.testing.simulation.world import LIFE, Life, PowerCut, World
from xor.wire import http
from xor.wire.messages import Credential, JobState, JobView, NetworkView

Answer = TypeVar("Answer")
TIMEOUTS = Timeouts(approvals_s=120, offers_s=60, completion_s=120)
DOWN_S = (1.0, 15.0)
BACKUP = 0.01
"""How likely, at each request, the operator makes a copy of the database."""
_JOB = re.compile(r"/v1/jobs/([0-9a-f]{64})/(\w+)(?:/(\d+)/(\d+))?")


class SimulatedService:
    """Whoever is the service now, and who was it before."""

    def __init__(self, world: World, disk: Disk, home: Path, liar: Liar) -> None:
        self.world = world
        self.disk = disk
        self.home = home
        self.liar = liar
        self.current: Service | None = None
        self.was_rolled_back = False
        self.appended: list[tuple[str, str, str]] = []
        """Job, slot and payload of each entry that the service has called durable."""
        self.answered: set[tuple[int, bytes]] = set()
        """Polls and announcements that were taken, by which life."""
        self.forged: set[bytes] = set()
        """Payloads of polls and announcements that no machine has signed."""
        self.acknowledged: list[tuple[str, str]] = []
        """Job and payload of each document that was taken."""
        self._lives: dict[Life, tuple[Service, Context]] = {}
        self._started: dict[Life, int] = {}
        self._backup: Path | None = None
        self._newest: Store | None = None

    # -- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        life, context = self.world.born("service")
        self.disk.give(life, self.home)
        context.run(self._open, life, context)

    def _open(self, life: Life, context: Context) -> None:
        settings = Settings(timeouts=TIMEOUTS, clock=lambda: self.world.clock("service"))
        try:
            service = Service(self.home, settings)
        except PowerCut:
            return
        except (XorError, sqlite3.Error) as error:
            self.world.note(f"service does not start: {getattr(error, 'code', error)}")
            life.is_alive = False
            self.home = self.disk.copy(self.home)  # what has half started still holds a lock here
            self.world.later(self._downtime(), self.start)
            return
        service.limits = Limits(lambda: self.world.now)
        self.world.note(f"service {life.number} is up")
        self.current = service
        self._newest = service._store
        self._lives[life] = (service, context)
        self._started[life] = service.now
        self.world.loop.create_task(service.keep_time(), context=context)

    def on_cut(self, _life: Life, copy: Path) -> None:
        """The computer of the service, with all services on it, has lost its power."""
        for life in self._lives:
            life.is_alive = False
        self._lives.clear()
        self.current = None
        self.home = copy
        if self._backup is not None and self.world.chance(self.world.faults.rollback):
            self.world.note("service is rolled back")
            self.was_rolled_back = True
            self.home = self.disk.copy(self._backup)
        self.world.later(self._downtime(), self.start)

    def _downtime(self) -> float:
        return self.world.random.uniform(*DOWN_S)

    def _succeed(self) -> None:
        """An operator believes that the service is dead and starts another one; both have the database."""
        if self.current is not None and len(self._lives) == 1:
            self.world.note("a second service is started")
            self.current._lock.close()  # as on two computers
            self.start()

    def _end_superseded(self) -> None:
        """Whoever finds itself superseded ends; when all is calm, so does who has not noticed yet."""
        for life, (service, _) in tuple(self._lives.items()):
            if service.is_superseded or (self.world.is_calm and service is not self.current):
                self.world.note(f"service {life.number} ends")
                life.is_alive = False
                del self._lives[life]

    def appending(self, store: Store, job: Job, append: Append) -> None:
        """What the store has called durable."""
        self.world.note(f"log: {append.slot} of {job.id[:6]}")
        self.world.must(store is self._newest, "a superseded service writes to the log")
        self.appended.append((job.id, str(append.slot), append.envelope.payload.decode()))

    # -- requests -----------------------------------------------------------------------------------------

    def receive(
        self, handle: Callable[[Service], Coroutine[Any, Any, Answer]]
    ) -> asyncio.Future[Answer] | None:
        """One arrival of a request, at the service that runs, or at one of two."""
        if self.world.chance(self.world.faults.succession):
            self._succeed()
        self._end_superseded()
        if not self._lives:
            return None
        if self.world.chance(BACKUP):
            self._backup = self.disk.copy(self.home)
        service, context = self.world.random.choice(tuple(self._lives.values()))
        return self.world.loop.create_task(handle(service), context=context)

    async def post(self, sender: str, request: httpx2.Request, body: bytes) -> bytes:
        """A machine's request, as its `Link` makes it."""
        return await self.world.ask(
            sender, lambda: self.receive(lambda service: self._posted(service, sender, request, body)), 30.0
        )

    async def _posted(self, service: Service, sender: str, request: httpx2.Request, body: bytes) -> bytes:
        path = request.url.path
        if path == http.ANNOUNCE:
            envelope = Envelope.from_bytes(body)
            await service.announce(envelope)
            self._taken(envelope)
            return b""
        if path == http.INBOX:
            envelope = Envelope.from_bytes(body)
            answer = await service.inbox(envelope)
            self._taken(envelope)
            return self.liar.inbox(service._store, sender, answer).to_bytes()
        job, what, node, side = _JOB.fullmatch(path).groups()  # type: ignore[union-attr]
        if what == "blobs":
            manifest = http.read_manifest_header(request.headers[http.MANIFEST_HEADER])
            await service.upload(job, (int(node), int(side)), manifest, _once(body))
            self._acknowledge(job, manifest)
        elif what == "entries":
            envelope = Envelope.from_bytes(body)
            await service.post(job, envelope)
            self._acknowledge(job, envelope)
        return b""

    def _taken(self, envelope: Envelope) -> None:
        """A poll or an announcement is taken once by one service, and never by one that started later.

        But for what a fast clock has stamped for a time when the next service runs already: see `Freshness`.
        """
        life = LIFE.get()
        assert life is not None
        must, payload = self.world.must, envelope.payload
        must((life.number, payload) not in self.answered, "the service answers a message twice")
        must(parse_canonical(payload)["at"] >= self._started[life], "the service answers an old message")
        must(payload not in self.forged, "the service answers a stranger")
        self.answered.add((life.number, payload))
        self.liar.overheard(envelope)

    def _acknowledge(self, job: str, envelope: Envelope) -> None:
        self.acknowledged.append((job, envelope.payload.decode()))

    async def network(self) -> NetworkView:
        async def answer(service: Service) -> NetworkView:
            return self.liar.network(await service.catalogue(NETWORK, self._credential()))

        return await self._client(answer)

    async def submit(self, envelope: Envelope) -> JobView:
        async def answer(service: Service) -> JobView:
            view, _ = await service.submit(NETWORK, self._credential(), envelope)
            self._acknowledge(view.job, envelope)
            return self.liar.view(service._store, view)

        return await self._client(answer)

    async def view(self, job: str, after: int, wait_s: int) -> JobView:
        async def answer(service: Service) -> JobView:
            view = await service.view(job, self._credential(), after, wait_s)
            return self.liar.view(service._store, view)

        return await self._client(answer, wait_s)

    async def stream(self, job: str, key: tuple[int, int]) -> bytes:
        async def answer(service: Service) -> bytes:
            path = await service.stream(job, key, self._credential())
            row = service._store.projection(job)
            is_released = row is not None and row["state"] == JobState.RELEASED.value
            self.world.must(is_released, "the service hands out a stream that is not released")
            return self.liar.stream(path.read_bytes())

        return await self._client(answer)

    async def cancel(self, job: str, envelope: Envelope) -> JobView:
        async def answer(service: Service) -> JobView:
            return (await service.post(job, envelope))[0]

        return await self._client(answer)

    async def _client(
        self, answer: Callable[[Service], Coroutine[Any, Any, Answer]], wait_s: float = 0.0
    ) -> Answer:
        receive: Callable[[], Awaitable[Answer] | None] = lambda: self.receive(answer)  # noqa: E731
        return await self.world.ask("client", receive, wait_s + 10.0)

    def _credential(self) -> Credential:
        return Credential(audience="00" * 32, network=NETWORK, analyst=ANALYST, not_before=0, not_after=2**40)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
