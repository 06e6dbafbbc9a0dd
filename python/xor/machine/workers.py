"""The worker processes of a machine: one per job, and one warm spare that has its imports done."""

import asyncio
import contextlib
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from xor.machine.meeting import MAX_WAITING, hand_over
from xor.machine.orders import Order, Peer, Word, read_word
from xor.machine.routing import Call, Route

MAX_LINE_BYTES = 64 * 2**20
_PASSED_ON = ("LANG", "LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "RAYON_NUM_THREADS")

OnWord = Callable[[str, Word], None]
OnEnd = Callable[[str], None]


@dataclass
class _Worker:
    process: asyncio.subprocess.Process
    handed: socket.socket
    routes: frozenset[tuple[int, str]] = frozenset()
    job_keys: dict[str, str] = field(default_factory=dict)
    calls: Counter[Route] = field(default_factory=Counter)
    reader: asyncio.Task[None] | None = None

    def write(self, document: Order | Peer) -> None:
        # A worker that has died shows at the end of its output; here its pipe is merely closed.
        if self.process.stdin is not None and not self.process.stdin.is_closing():
            self.process.stdin.write(document.model_dump_json().encode() + b"\n")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.handed.close()


class Workers:
    """Starts, feeds, hears and kills workers.

    Args:
        on_word: called for each word of a job's worker.
        on_end: called once when the worker of a job has ended, for whatever reason.
    """

    def __init__(self, on_word: OnWord, on_end: OnEnd) -> None:
        self._on_word = on_word
        self._on_end = on_end
        self._running: dict[str, _Worker] = {}
        self._spare: _Worker | None = None
        self._lock = asyncio.Lock()

    async def keep_spare(self) -> None:
        """Starts a spare unless there is one or a job is running, whose processor time it would take."""
        async with self._lock:
            is_there = self._spare is not None and self._spare.process.returncode is None
            if not is_there and not self._running:
                self._spare = await _spawn()

    async def start(self, order: Order, routes: frozenset[tuple[int, str]]) -> None:
        """Gives a worker its one job. `routes`: the connections (step, player) that may be handed to it."""
        async with self._lock:
            worker, self._spare = self._spare, None
            if worker is None or worker.process.returncode is not None:
                worker = await _spawn()
            worker.routes = routes
            self._running[order.plan_hash] = worker
        worker.write(order)
        worker.reader = asyncio.create_task(self._read(order.plan_hash, worker))

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
        if worker is None or (route.node, route.player) not in worker.routes:
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
        if job in self._running:
            self._running[job].kill()

    async def close(self) -> None:
        """Kills all workers and waits until they are gone."""
        workers = [*self._running.values(), *([self._spare] if self._spare else [])]
        for worker in workers:
            worker.kill()
        for worker in workers:
            await worker.process.wait()

    async def _read(self, job: str, worker: _Worker) -> None:
        output = worker.process.stdout
        try:
            while output is not None and (line := await output.readline()):
                self._on_word(job, read_word(line))
        except (ValidationError, ValueError):
            worker.kill()  # it speaks nonsense: the end below says so
        await worker.process.wait()
        worker.handed.close()
        self._running.pop(job, None)
        self._on_end(job)


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
