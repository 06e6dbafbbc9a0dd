"""All jobs of a service: moves them on one event at a time, and performs what the state machine asks for."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from xor import log
from xor.errors import XorError
from xor.service import core
from xor.service.bell import Bell, waited
from xor.service.blobs import Blobs
from xor.service.core import Append, Arrived, Close, Discard, Job, Tick, Timeouts, Wake
from xor.service.metrics import Metrics
from xor.service.store import Store
from xor.signing import SigningKey, seal_envelope
from xor.wire.messages import JobState
from xor.wire.trust import Trust

MAX_REMEMBERED = 256
"""Ended jobs kept in memory; the others are folded again when somebody asks."""

SWEEP_S = 3600
DAY_S = 86400
CLOCK = "clock"


def wall_clock() -> int:
    return int(time.time())


@dataclass(frozen=True)
class Settings:
    """What an operator may choose.

    Args:
        result_days: how long released streams are kept.
        database: URL of a PostgreSQL database; None: a SQLite file in the service's directory.
        names: hosts and addresses under which the service is reached from elsewhere.
        certificate, certificate_key: PEM files, if its operator brings a TLS certificate.
        metrics: loopback address `HOST:PORT` where Prometheus finds metrics; None: nowhere.
        drain_s: how long a service that was told to stop waits for uploads and downloads under way.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    result_days: int = 30
    database: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    certificate: str | None = None
    certificate_key: str | None = None
    metrics: str | None = None
    drain_s: int = 30
    clock: Callable[[], int] = wall_clock


class Known(NamedTuple):
    """A job as it stood at a position of the log."""

    job: Job
    position: int


def job_topic(job_id: str) -> tuple[str, str]:
    """What rings when there is news of a job."""
    return ("job", job_id)


def player_topic(network: str, player: str) -> tuple[str, str, str]:
    """What rings when there is news for a player."""
    return ("player", network, player)


class Jobs:
    """The jobs of one service: the unfinished ones in memory, every one in the store."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        bell: Bell,
        key: SigningKey,
        settings: Settings,
        trust: Mapping[str, Trust],
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._blobs = blobs
        self._bell = bell
        self._key = key
        self._settings = settings
        self._trust = trust
        self._writing = asyncio.Lock()
        self._open: dict[str, Known] = {}
        self._ended: dict[str, Known] = {}
        self._doubtful: dict[str, object] = {}
        """Jobs of which memory may be behind the log: a write got no answer. The value is the last doubt."""

    def restore(self) -> None:
        """Folds the unfinished jobs anew and deletes streams that will never be released."""
        self._blobs.open()
        self._blobs.discard(job for job in self._blobs.jobs() if self._is_dead(job))
        for job_id in self._store.unfinished():
            try:
                loaded = self._store.load(job_id, self._trust, self._settings.timeouts)
            except XorError as error:
                log.warning("a job is left aside", job=job_id[:12], code=error.code)
                continue
            if loaded is not None:
                self._remember(Known(*loaded))

    def open_states(self) -> list[JobState]:
        """The states of the unfinished jobs. Safe to call from another thread."""
        return [known.job.state for known in list(self._open.values())]

    def is_open(self, job_id: str) -> bool:
        """Whether a job is known here that has not ended."""
        return job_id in self._open

    async def known(self, job_id: str) -> Known:
        """A job.

        Raises:
            UsageError: there is none of that id.
        """
        known = await self.find(job_id)
        if known is None:
            raise core.unknown_job()
        return known

    async def find(self, job_id: str) -> Known | None:
        known = self._open.get(job_id) or self._ended.get(job_id)
        if known is not None and job_id not in self._doubtful:
            return known
        doubt = self._doubtful.get(job_id)
        loaded = await asyncio.to_thread(self._store.load, job_id, self._trust, self._settings.timeouts)
        if self._doubtful.get(job_id) is doubt:  # a doubt that has come since then is not resolved by this
            self._doubtful.pop(job_id, None)
        if loaded is None:
            return known
        # Somebody may have moved it on while it was being read.
        now = self._open.get(job_id) or self._ended.get(job_id)
        if now is None or now.position < loaded[1]:
            self._remember(Known(*loaded))
        return self._open.get(job_id) or self._ended.get(job_id)

    async def deliver(self, job_id: str, event: core.Event) -> tuple[Known, bool]:
        """One transition. Says whether anything was new.

        It goes to its end even if the caller goes away, so that memory never falls behind the log.
        """
        return await asyncio.shield(self._transition(job_id, event))

    async def keep_time(self) -> None:
        """Closes jobs whose time is up and deletes old results, until the bell is closed."""
        swept_at = 0
        while not self._bell.is_closed:
            with self._bell.listening(CLOCK) as rung:
                now = self._settings.clock()
                if now - swept_at >= SWEEP_S:
                    swept_at = now
                    await self._sweep_old(now)
                await self._close_overdue(now)
                deadlines = (known.job.deadline for known in self._open.values())
                next_at = min((each for each in deadlines if each is not None), default=now + SWEEP_S)
                await waited(rung, max(1, min(next_at - now, SWEEP_S)))

    async def _close_overdue(self, now: int) -> None:
        overdue = [job_id for job_id, known in self._open.items() if now >= (known.job.deadline or now + 1)]
        for job_id in overdue:
            try:
                await self.deliver(job_id, Tick(now))
            except XorError as error:
                log.error("a job cannot be closed", job=job_id[:12], code=error.code)

    async def _sweep_old(self, now: int) -> None:
        try:
            await asyncio.to_thread(self._sweep, now)
        except XorError as error:
            log.error("old results are not deleted now", code=error.code)

    async def _transition(self, job_id: str, event: core.Event) -> tuple[Known, bool]:
        async with self._writing:
            known = await self.find(job_id)
            job, effects = core.on_event(known and known.job, event, self._settings.timeouts)
            known = known or Known(job, 0)
            for effect in effects:
                known = await self._perform(job, known, effect)
        return known, bool(effects)

    async def _perform(self, job: Job, known: Known, effect: core.Effect) -> Known:
        match effect:
            case Append():
                known = await self._append(job, effect)
            case Wake(players):
                seats = (player_topic(job.plan.network, player) for player in players)
                self._bell.ring([job_topic(job.id), CLOCK, *seats])
            case Close(document):
                closed = Arrived(document, seal_envelope(document, self._key), self._settings.clock())
                after, effects = core.on_event(job, closed, self._settings.timeouts)
                for each in effects:
                    known = await self._perform(after, known, each)
            case Discard():
                await asyncio.to_thread(self._blobs.discard, [job.id])
        return known

    async def _append(self, job: Job, effect: Append) -> Known:
        try:
            with self._metrics.appending():
                known = Known(job, await asyncio.to_thread(self._store.append, job, effect))
        except BaseException:
            self._doubtful[job.id] = object()
            raise
        before = self._open.get(job.id)
        self._remember(known)
        self._metrics.appended(effect.slot.kind)
        if before is None or before.job.state is not job.state:
            log.info("job", job=job.id[:12], state=job.state)
        return known

    def _remember(self, known: Known) -> None:
        self._open.pop(known.job.id, None)
        self._ended.pop(known.job.id, None)
        if not known.job.state.is_final:
            self._open[known.job.id] = known
            return
        self._ended[known.job.id] = known
        while len(self._ended) > MAX_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _is_dead(self, job_id: str) -> bool:
        """Whether the streams of a job will never be released."""
        row = self._store.projection(job_id)
        return row is None or (JobState(row["state"]).is_final and row["state"] != JobState.RELEASED.value)

    def _sweep(self, now: int) -> None:
        released = self._store.released(before=now - self._settings.result_days * DAY_S)
        self._blobs.discard(self._blobs.jobs() & set(released))
