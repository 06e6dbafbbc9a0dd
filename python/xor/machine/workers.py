"""The worker processes of a machine: one per job, and one warm spare that has its imports done."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from xor import log
from xor.machine.events import Failed
from xor.machine.meeting import MAX_WAITING, hand_over
from xor.machine.orders import Order, Peer, Warm, Word, read_word
from xor.machine.routing import Call, Route

MAX_LINE_BYTES = 64 * 2**20
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "RAYON_NUM_THREADS")

OnWord = Callable[[str, Word], None]
OnFailure = Callable[[str, Failed], None]
Routes = frozenset[Route]
"""Connections that may be handed to a worker."""

DIED = Failed(
    kind="InternalError",
    code="internal.worker-died",
    message="the worker ended without a word",
    hint="was there enough memory?",
)
NO_MEMORY = Failed(
    kind="ResourceError",
    code="resource.memory",
    message="the worker broke off, as it does when it gets no more memory",
    hint="its operator may raise memory_mib in machine.toml.",
)
LATE = Failed(
    kind="ResourceError",
    code="resource.time",
    message="the job has run for longer than this machine allows",
    hint="its operator may raise job_timeout_s in machine.toml.",
)
NO_WORKER = Failed(kind="ResourceError", code="resource.no-worker", message="the worker did not start")


@dataclass
class _Worker:
    process: asyncio.subprocess.Process
    handed: socket.socket
    routes: Routes = frozenset()
    job_keys: dict[str, str] = field(default_factory=dict)
    calls: Counter[Route] = field(default_factory=Counter)
    reader: asyncio.Task[None] | None = None
    is_dismissed: bool = False
    """The machine has killed it."""

    def write(self, document: Order | Peer) -> None:
        # A worker that has died shows at the end of its output; here its pipe is merely closed.
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(document.model_dump_json().encode() + b"\n")

    @property
    def is_alive(self) -> bool:
        """As far as is known: a death shows at the end of its output first, then in its return code."""
        output = self.process.stdout
        return self.process.returncode is None and output is not None and not output.at_eof()

    def kill(self) -> None:
        self.is_dismissed = True
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.handed.close()


class Workers:
    """Starts, feeds, hears and kills workers.

    Args:
        on_word: called for each word of a job's worker.
        on_failure: called when a worker did not start, is late or has ended. A worker that has finished its
            job ends too: who listens knows whether the job still ran.
        max_jobs: how many run at once; further jobs wait in order.
    """

    def __init__(
        self, on_word: OnWord, on_failure: OnFailure, *, max_jobs: int, job_timeout_s: float
    ) -> None:
        self._on_word = on_word
        self._on_failure = on_failure
        self._max_jobs = max_jobs
        self._job_timeout_s = job_timeout_s
        self._running: dict[str, _Worker] = {}
        self._waiting: deque[tuple[Order, Routes]] = deque()
        self._spare: _Worker | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False

    async def keep_spare(self) -> None:
        """Starts a spare unless there is one or a job is running, whose processor time it would take."""
        async with self._lock:
            is_there = self._spare is not None and self._spare.is_alive
            if not is_there and not self._running and not self._is_closed:
                self._spare = await _spawn()

    async def start(self, order: Order, routes: Routes) -> None:
        """Gives a worker its one job, now or when it is this job's turn."""
        self._waiting.append((order, routes))
        if len(self._running) >= self._max_jobs:
            log.info("the job waits for its turn", job=order.plan_hash[:12], running=len(self._running))
        await self._fill()

    async def _fill(self) -> None:
        """Starts as many of the waiting jobs as may run."""
        async with self._lock:
            while self._waiting and len(self._running) < self._max_jobs:
                worker = await self._free_worker()
                if not self._waiting:  # the job ended while its worker came up
                    self._spare = worker
                    return
                order, routes = self._waiting.popleft()
                if worker is None:
                    self._on_failure(order.plan_hash, NO_WORKER)
                else:
                    self._employ(worker, order, routes, is_second=False)

    async def _free_worker(self) -> _Worker | None:
        worker, self._spare = self._spare, None
        if worker is not None and worker.is_alive:
            return worker
        try:
            return await _spawn()
        except OSError as error:
            log.error("no worker", error=error.strerror)
            return None

    def _employ(self, worker: _Worker, order: Order, routes: Routes, *, is_second: bool) -> None:
        worker.routes = routes
        self._running[order.plan_hash] = worker
        worker.write(order)
        worker.reader = asyncio.create_task(self._follow(order, worker, is_second=is_second))

    def give_peer(self, job: str, peer: Peer) -> None:
        if job in self._running:
            self._running[job].job_keys[peer.player] = peer.job_key
            self._running[job].write(peer)

    def hand_over(self, call: Call, connection: socket.socket) -> bool:
        """Gives a connection to the worker that expects it.

        Returns: False if no worker does, the caller is not the peer whose offer was verified (which may
        still be on its way: the peer calls again), or there are too many replays of its call.
        """
        route = call.route
        worker = self._running.get(route.plan)
        if worker is None or route not in worker.routes:
            return False
        if not call.is_from(worker.job_keys.get(route.player, "")):
            return False
        if worker.calls[route] >= MAX_WAITING:
            return False
        worker.calls[route] += 1
        try:
            hand_over(worker.handed, route, connection)
        except OSError:
            return False
        return True

    async def ended(self, job: str) -> None:
        """Waits until the worker of the job, if there is one, has ended."""
        worker = self._running.get(job)
        if worker is not None:
            await worker.process.wait()

    def kill(self, job: str) -> None:
        self._waiting = deque(each for each in self._waiting if each[0].plan_hash != job)
        if job in self._running:
            self._running[job].kill()

    async def close(self) -> None:
        """Kills all workers and waits until they are gone."""
        self._is_closed = True
        self._waiting.clear()
        for running in self._running.values():
            running.kill()
        async with self._lock:  # whoever is being started is there afterwards
            workers = [*self._running.values(), *([self._spare] if self._spare else [])]
        for worker in workers:
            worker.kill()
        for worker in workers:
            await worker.process.wait()

    async def _follow(self, order: Order, worker: _Worker, *, is_second: bool) -> None:
        """Hears a worker to its end, then gives its place to the next job."""
        job = order.plan_hash
        loop = asyncio.get_running_loop()
        late = loop.call_later(self._job_timeout_s, self._on_failure, job, LATE)
        has_begun = await self._hear(job, worker)
        late.cancel()
        # A spare that had died unnoticed has read nothing, and no peer has heard of it: another one may try.
        async with self._lock:
            may_try = not (has_begun or is_second or worker.is_dismissed)
            if may_try and (fresh := await self._free_worker()) is not None:
                if not worker.is_dismissed:
                    self._employ(fresh, order, worker.routes, is_second=True)
                    return
                self._spare = fresh
            del self._running[job]
        # The core cannot go on without memory: it aborts, and nothing else in a worker does.
        has_aborted = worker.process.returncode == -signal.SIGABRT
        self._on_failure(job, NO_MEMORY if has_aborted else DIED)
        await self._fill()
        await self.keep_spare()

    async def _hear(self, job: str, worker: _Worker) -> bool:
        """Passes on what a worker says until it has ended.

        Returns: whether it has said anything since it had its order.
        """
        has_begun = False
        output = worker.process.stdout
        try:
            while output is not None and (line := await output.readline()):
                word = read_word(line)
                has_begun = has_begun or not isinstance(word, Warm)
                self._on_word(job, word)
        except (ValidationError, ValueError):
            has_begun = True
            worker.kill()  # it speaks nonsense: the end says so
        await worker.process.wait()
        worker.handed.close()
        return has_begun


async def _spawn() -> _Worker:
    """A new worker: nothing about any job in its arguments or its environment."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    is_heard = os.environ.get("XOR_UNSAFE_WORKER_STDERR") == "1"
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "xor.machine.worker",
            str(os.getpid()),
            str(theirs.fileno()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # What libraries print may quote rows, and logs never do.
            stderr=None if is_heard else asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            | {"PYTHONDONTWRITEBYTECODE": "1"},
            limit=MAX_LINE_BYTES,
        )
    return _Worker(process, ours)
