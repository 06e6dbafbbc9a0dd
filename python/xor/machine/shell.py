"""The machine around its state machines: it owns the clock, the disk, the workers and the service's line.

It dials out only; the one port it may listen on is for other machines. While the service is away it waits.
"""

import asyncio
import contextlib
import fcntl
import secrets
import shutil
import sqlite3
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from xor import log
from xor.errors import AuthError, InternalError, UsageError, XorError
from xor.machine import sandbox
from xor.machine.capacity import capacity_of
from xor.machine.core import Job, State
from xor.machine.directory import Directory
from xor.machine.entries import verified_payload
from xor.machine.events import (
    Allowed,
    Arrived,
    CleanUp,
    Clear,
    Cleared,
    Denied,
    Effect,
    Event,
    Failed,
    GivePeer,
    Judge,
    Judged,
    KillWorker,
    Send,
    StartWorker,
    Upload,
    WorkerDone,
    WorkerReady,
)
from xor.machine.holdings import Holdings
from xor.machine.jobs import Jobs
from xor.machine.journal import Journal, unwritable
from xor.machine.judging import decide
from xor.machine.lines import Lines
from xor.machine.link import Backoff, Link
from xor.machine.listener import Listener
from xor.machine.metrics import Metrics
from xor.machine.orders import (
    Broke,
    Confined,
    Finished,
    Observed,
    Peer,
    Progressed,
    Ready,
    Refused,
    Timed,
    Word,
    order_of,
    routes_of,
    stream_name,
)
from xor.machine.outbox import Outbox
from xor.machine.workers import NO_WORKER, Workers
from xor.signing import Envelope
from xor.wire import metrics, tls
from xor.wire.messages import Announce, Entry, Progress

HEARTBEAT_S = 10.0
LOOK_S = 0.5
"""How often a machine looks whether a policy on its disk has changed."""
POLL_S = 25
HASTY_S = 1.0
"""A service that answers sooner, and with nothing, is not asked again at once."""
TICK_S = 2.0
DRAINED_EVERY_S = 0.2
FAREWELL_S = 2.0
"""How long a stopping machine tries to tell the others that it stops."""


class Machine:
    """One machine over its directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._settings = directory.settings
        self._lock = _locked(directory.path)
        self._journal = Journal(directory.state)
        self._holdings = Holdings(directory, self._journal)
        self._capacity = capacity_of(self._settings, directory.path)
        self._lines = Lines(each.name for each in directory.trust.agreement.players)
        self._jobs = Jobs(
            self._settings.network, self._settings.player, self._journal, self._perform, self._on_change
        )
        self._metrics = Metrics(self._jobs.states)
        self._link = Link(directory)
        self._outbox = Outbox(self._link, self._handle, _log_refused)
        self._workers = Workers(
            self._on_word,
            self._on_failure,
            max_jobs=self._settings.max_jobs,
            job_timeout_s=self._settings.job_timeout_s,
        )
        self._listener = (
            Listener(self._settings.listen, self._workers.hand_over) if self._settings.listen else None
        )
        self._judging = asyncio.Lock()
        self._is_draining = False
        self._is_stuck = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reporting: set[str] = set()

    async def run(self, stop: asyncio.Event, drain: asyncio.Event) -> None:
        """Works until `stop` is set, or until `drain` is set and the jobs in hand have ended.

        What is not started yet waits in the journal for the next start.
        """
        self._directory.jobs.mkdir(mode=0o700, exist_ok=True)
        self._jobs.restart()
        self._remove_leftovers()
        loops = [self._announce_for_ever(), self._poll_for_ever(), self._tick_for_ever(), self._until_stuck()]
        if self._listener:
            loops.append(self._listener.serve())
        tasks = [asyncio.create_task(each) for each in loops]
        self._background(self._workers.keep_spare())
        stop_metrics = (
            metrics.serve(self._metrics.registry, self._settings.metrics) if self._settings.metrics else None
        )
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(self._drained(drain))]
        try:
            done, _ = await asyncio.wait([*ends, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in [*ends, *tasks]:
                task.cancel()
            await self._say_farewell()
            if stop_metrics:
                stop_metrics()

    # -- loops --------------------------------------------------------------------------------------------

    async def _announce_for_ever(self) -> None:
        is_away: bool | None = None
        backoff = Backoff()
        while True:
            try:
                datasets, policies = self._holdings.envelopes()
                await self._link.announce(
                    Announce(
                        network=self._settings.network,
                        player=self._settings.player,
                        at=_now(),
                        nonce=secrets.token_hex(32),
                        datasets=tuple(each.to_bytes().decode() for each in datasets),
                        policies=tuple(each.to_bytes().decode() for each in policies),
                        capacity=self._capacity,
                        links=self._lines.seen,
                    )
                )
            except XorError as error:
                if not is_away:
                    log.warning("the service does not hear this machine", code=error.code)
                is_away = True
                await backoff.pause()
                continue
            if is_away is not False:
                log.info(f"{self._settings.player} is ready", datasets=len(datasets), listens=self._address)
            is_away = False
            self._metrics.heard()
            backoff.reset()
            await self._until_changed(policies)

    async def _until_changed(self, announced: tuple[Envelope, ...]) -> None:
        """Waits for the next heartbeat, or until a policy on disk is another one: owners should not wait."""
        for _ in range(int(HEARTBEAT_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(XorError):  # the next heartbeat meets the same error and says it
                if self._holdings.envelopes()[1] != announced:
                    return

    async def _poll_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            asked_at = time.monotonic()
            try:
                inbox = await self._link.poll(
                    self._journal.inbox_position, POLL_S, _now(), secrets.token_hex(32)
                )
            except XorError as error:
                # The heartbeat says when the service is away; what it answers wrongly is said here.
                if isinstance(error, AuthError):
                    log.warning("a poll was not answered properly", code=error.code)
                await backoff.pause()
                continue
            for entry in inbox.entries:
                await self._take(entry)
            if inbox.entries or time.monotonic() - asked_at > HASTY_S:
                backoff.reset()
            else:
                await backoff.pause()

    async def _tick_for_ever(self) -> None:
        while True:
            self._jobs.tick(_now())
            await asyncio.sleep(TICK_S)

    async def _until_stuck(self) -> None:
        """A machine that cannot write its journal ends: the next life goes on from what is written.

        Raises:
            ResourceError: always, once it is so.
        """
        await self._is_stuck.wait()
        raise unwritable()

    # -- entries of the log -------------------------------------------------------------------------------

    async def _take(self, entry: Entry) -> None:
        """Verifies an entry of the service's log and hands it to its job; what nobody signed is nothing."""
        try:
            payload = await asyncio.to_thread(verified_payload, self._directory.trust, entry)
        except XorError as error:
            log.warning("ignored an entry", job=entry.job[:12], kind=entry.kind, code=error.code)
        except Exception as error:
            # A decoder that stumbles over a member's odd document must not stop the machine.
            log.error("an entry could not be read", job=entry.job[:12], error=type(error).__name__)
        else:
            self._handle(entry.job, Arrived(kind=entry.kind, position=entry.position, payload=payload))
        self._journal.inbox_position = max(entry.position, self._journal.inbox_position)

    # -- effects ------------------------------------------------------------------------------------------

    def _handle(self, job_id: str, event: Event) -> None:
        try:
            self._jobs.handle(job_id, event, _now())
        except sqlite3.OperationalError:
            self._is_stuck.set()
            raise

    def _on_change(self, before: Job, after: Job) -> None:
        if after.state is before.state:
            return
        last = after.outbox[-1] if after.outbox else None
        log.info("job", job=after.id[:12], state=after.state, code=getattr(last, "code", None))
        if after.state.is_over:
            self._metrics.ended(after.state, getattr(last, "kind", ""))

    def _perform(self, job: Job, effect: Effect) -> None:
        match effect:
            case Judge() | Clear():
                self._background(self._judge(job, effect))
            case Send(document=document):
                self._outbox.add(document)
            case StartWorker():
                self._background(self._start_worker(job))
            case GivePeer():
                peer = Peer(
                    player=effect.player,
                    job_key=effect.job_key,
                    is_listener=effect.is_listener,
                    address=effect.address,
                )
                self._workers.give_peer(job.id, peer)
            case KillWorker():
                self._workers.kill(job.id)
            case Upload(manifest=manifest):
                path = self._directory.job(job.id) / stream_name(manifest.node, manifest.side)
                self._outbox.upload(manifest, path)
            case CleanUp():
                self._outbox.forget(job.id)
                self._background(self._clean_up(job.id))

    async def _judge(self, job: Job, effect: Judge | Clear) -> None:
        """Judges in a thread, so that the heart beats on. One job at a time, in order: what one of them
        spends is counted when the next one is judged.
        """
        async with self._judging:
            if self._is_draining or self._jobs[job.id].state is not job.state:
                return
            now = _now()
            verdict = await self._decide(job, now)
            answer = Judged(verdict=verdict) if isinstance(effect, Judge) else Cleared(verdict=verdict)
            self._jobs.handle(job.id, answer, now)

    async def _decide(self, job: Job, now: int) -> Allowed | Denied:
        if job.plan is None:
            raise AssertionError("only a plan is judged")
        try:
            return await asyncio.to_thread(
                decide,
                job.plan,
                player=job.player,
                agreement=self._directory.trust.agreement,
                policies=self._holdings.policies(),
                is_spent=self._journal.is_spent(job.id, job.plan.not_before),
                spent=self._journal.guesses_spent(now),
                was_restored_today=self._journal.was_restored_today(now),
                now=now,
                capacity=self._capacity,
            )
        except Exception as error:
            # Default-deny holds for our own mistakes too; an analyst's odd plan must not stop the machine.
            log.error("the judge failed", job=job.id[:12], error=type(error).__name__)
            return Denied(
                kind=InternalError.__name__, code="internal.judge", message="the plan could not be judged"
            )

    async def _start_worker(self, job: Job) -> None:
        try:
            order = order_of(job, self._directory)
            shutil.rmtree(order.directory, ignore_errors=True)
            Path(order.directory).mkdir(mode=0o700)
        except OSError as error:
            log.error("no directory", job=job.id[:12], error=error.strerror)
            self._handle(job.id, NO_WORKER)
            return
        await self._workers.start(order, routes_of(job))
        if self._jobs[job.id].state is not State.STARTING:
            # The job ended while its worker came up; it has met nobody yet.
            self._workers.kill(job.id)

    async def _clean_up(self, job_id: str) -> None:
        await self._workers.ended(job_id)
        await asyncio.to_thread(shutil.rmtree, self._directory.job(job_id), ignore_errors=True)

    def _remove_leftovers(self) -> None:
        """Directories of jobs that are over, or that never came to be."""
        for path in self._directory.jobs.iterdir():
            if self._jobs[path.name].state is not State.UPLOADING:
                shutil.rmtree(path, ignore_errors=True)

    # -- workers ------------------------------------------------------------------------------------------

    def _on_word(self, job_id: str, word: Word) -> None:
        match word:
            case Confined(level=level) if level != sandbox.ENFORCED:
                log.warning("THE WORKER IS NOT CONFINED TO ITS FILES BY THIS KERNEL", level=level)
            case Confined():
                log.info("worker confined to its files", job=job_id[:12])
            case Ready(job_key=job_key):
                self._note(job_id, WorkerReady(job_key=job_key, address=self._address))
            case Finished(streams=streams):
                self._note(job_id, WorkerDone(streams=streams))
            case Broke(failure=failure, detail=detail):
                log.error("the worker stopped", job=job_id[:12], code=failure.code, why=detail)
                self._note(job_id, failure)
            case Progressed():
                self._background(self._report(job_id, word))
            case Observed(peer=peer, rtt_us=rtt_us, bytes_per_s=bytes_per_s):
                self._lines.note(peer, rtt_us, bytes_per_s)
            case Timed(node=node, step=step, seconds=seconds, sent_bytes=sent_bytes):
                self._metrics.step(step, seconds, sent_bytes)
                took = {"seconds": round(seconds, 3), "sent_bytes": sent_bytes}
                log.info("step", job=job_id[:12], node=node, step=step, **took)
            case Refused(node=node, peer=peer, keys=keys):
                log.error("THE PEER BROKE THE PROTOCOL UNDER KEYS OF OURS", peer=peer, node=node, keys=keys)

    def _on_failure(self, job_id: str, failure: Failed) -> None:
        if self._jobs[job_id].state in (State.STARTING, State.RUNNING):
            self._note(job_id, failure)

    def _note(self, job_id: str, event: Event) -> None:
        """Handles what became of a worker. If it cannot be written down, `_until_stuck` says so."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._handle(job_id, event)

    async def _report(self, job_id: str, word: Progressed) -> None:
        """Passes progress on, if the line is free: what is late is of no use."""
        if job_id in self._reporting:
            return
        self._reporting.add(job_id)
        document = Progress(
            network=self._settings.network,
            plan=job_id,
            player=self._settings.player,
            node=word.node,
            step=word.step,
            done=word.done,
            total=word.total,
        )
        with contextlib.suppress(XorError):
            await self._link.progress(document)
        self._reporting.discard(job_id)

    @property
    def _address(self) -> str | None:
        return self._settings.advertise or (self._listener.address if self._listener else None)

    # -- end ----------------------------------------------------------------------------------------------

    async def _drained(self, drain: asyncio.Event) -> None:
        """Waits until `drain` is set, then until no job is in hand or the time for it is over."""
        await drain.wait()
        self._is_draining = True
        log.info("draining", jobs=len(self._in_hand()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                while self._in_hand():
                    await asyncio.sleep(DRAINED_EVERY_S)

    def _in_hand(self) -> list[str]:
        """Jobs that have a worker, or a result that is not yet at the service."""
        states = (State.STARTING, State.RUNNING, State.UPLOADING)
        return [job_id for job_id in self._jobs.in_memory() if self._jobs[job_id].state in states]

    async def _say_farewell(self) -> None:
        """Kills the workers and tries, briefly, to tell the others."""
        stopping = Failed(
            kind="PeerError",
            code="peer.interrupted",
            message=f"the machine of {self._settings.player} was stopped",
            hint="run again: a new plan with new keys.",
        )
        for job_id in self._jobs.in_memory():
            if self._jobs[job_id].state in (State.STARTING, State.RUNNING):
                self._note(job_id, stopping)
        await self._workers.close()
        await self._outbox.flush(FAREWELL_S)
        self._outbox.close()
        if self._listener:
            self._listener.close()
        await self._link.close()
        for task in self._tasks:
            task.cancel()
        self._journal.close()
        self._lock.close()
        log.info(f"{self._settings.player} has stopped")

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task failed", error=type(error).__name__)


def confine(directory: Directory) -> None:
    """Confines the machine itself to its directory and its datasets' sources; its workers inherit that."""
    sources = [path for each in directory.holdings.values() for path in each.source.needed]
    authorities = tls.ca_paths(directory.settings.ca)
    level = sandbox.confine([directory.path, *sources, *authorities], [directory.path])
    if level != sandbox.ENFORCED:
        log.warning("THIS MACHINE IS NOT CONFINED TO ITS FILES BY THIS KERNEL", level=level)


def _locked(path: Path) -> Any:
    """Two machines over one directory would each spend what the other had spent."""
    file = (path / "machine.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(
            f"another machine runs in {path}", code="usage.directory-in-use", hint="stop it first."
        ) from None
    return file


def _log_refused(job: str, error: XorError) -> None:
    log.warning("the service refuses", job=job[:12], code=error.code)


def _now() -> int:
    return int(time.time())
