"""One job, in a process of its own: cancel is kill, and memory goes back to the system.

Started by the machine as `python -P -m xor.machine.worker PARENT FD`, with imports done ahead of the job. The
order arrives on standard input, peers follow there, sockets arrive over the inherited descriptor FD; what the
worker says leaves on standard output. It checks every table against its declared bounds before it offers the
TLS key without which no peer talks to it.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xor.engine import private
from xor.engine.local import Table, load_all
from xor.engine.sources import Source
from xor.engine.stage import side_stream, side_table
from xor.engine.streaming import Stream as Rows
from xor.errors import DataError, InternalError, PeerError, PlanError, ProtocolAbort, XorError
from xor.machine import sandbox
from xor.machine.core import peers_of, sides_of
from xor.machine.events import Failed, Stream
from xor.machine.lines import observe
from xor.machine.meeting import Incoming, agree_to_go, dial
from xor.machine.orders import (
    Broke,
    Confined,
    Finished,
    Observed,
    Order,
    Peer,
    Progressed,
    Ready,
    Timed,
    Warm,
    Word,
    stream_name,
)
from xor.machine.routing import CONTROL_LANE, Call, Route
from xor.model.agreement import Agreement
from xor.plan.codec import decode_plan, plan_hash
from xor.plan.cost import lanes
from xor.plan.estimate import is_streamed
from xor.plan.placed import Part, PlacedPlan, Sealed
from xor.plan.spec import release_spec, sealed_spec
from xor.signing import decode
from xor.wire.messages import Measured

if TYPE_CHECKING:
    from xor.engine.private import SealReport

PROGRESS_EVERY_S = 0.25

Say = Callable[[Word], None]
Brought = Table | private.SpilledTable | Rows
"""A table in memory; where it may be large on disk, or still in its file if it is to be released."""


class Stages:
    """Which stage runs: all that a public failure message may tell."""

    def __init__(self) -> None:
        self.now = "start"

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.now = name
        yield
        self.now = "between two steps"


class Worker:
    """Runs the parts of one plan that its player computes."""

    def __init__(self, order: Order, peers: Callable[[], Peer], handed: socket.socket, say: Say) -> None:
        self._order = order
        self._next_peer = peers
        self._say = say
        self._incoming = Incoming(handed, order.plan_hash)
        self._peers: dict[str, Peer] = {}
        self._calls: dict[int, list[socket.socket]] = {}
        self._directory = Path(order.directory)
        self.stages = Stages()

    def run(self) -> None:
        """The whole job, from the order to finished streams."""
        with self.stages.stage("checking the plan"):
            plan, agreement = self._checked()
        work = self._work(plan)
        specs = {part.node: self._spec(plan, part, agreement) for part, _ in work}
        tables = self._read_tables(plan, work, specs)
        seed, public = private.job_key()
        self._say(Ready(job_key=public.hex()))
        with self.stages.stage("meeting the other machines"):
            self._meet(work, peers_of(plan, self._order.player), seed)
        streams = []
        for part, side in work:
            table = tables.pop((part.node, side))
            if isinstance(part.placement, Sealed):
                assert not isinstance(table, Rows)  # another caller may have to read it again
                facts = self._join(specs[part.node], part, side, table, seed)
            else:
                assert not isinstance(table, private.SpilledTable)  # only joins spill beforehand
                facts = self._release(specs[part.node], part, table)
            streams.append(self._stream(part, side, facts))
        self._say(Finished(streams=tuple(streams)))

    def _checked(self) -> tuple[PlacedPlan, Agreement]:
        payload = self._order.plan.encode()
        if plan_hash(payload) != self._order.plan_hash:
            raise PlanError("the plan is not the one that was approved", code="plan.wrong-hash")
        return decode_plan(payload), decode(Agreement, self._order.agreement.encode())

    def _work(self, plan: PlacedPlan) -> list[tuple[Part, int]]:
        """Every (part, side) of this player, in the order of the plan, which is the same everywhere."""
        sides = sides_of(plan, self._order.player)
        return [(part, side) for part in plan.parts for side in (0, 1) if (part.node, side) in sides]

    def _spec(self, plan: PlacedPlan, part: Part, agreement: Agreement) -> bytes:
        spec = sealed_spec if isinstance(part.placement, Sealed) else release_spec
        return spec(plan, self._order.plan_hash, part, agreement)

    def _read_tables(
        self, plan: PlacedPlan, work: Sequence[tuple[Part, int]], specs: Mapping[int, bytes]
    ) -> dict[tuple[int, int], Brought]:
        """All tables that this player brings, checked: every one, before any peer is met."""
        entries = {entry.name: entry for entry in plan.datasets}
        sources = {
            each.dataset: Source(
                entries[each.dataset], Path(each.file.path), each.file.format, each.file.header
            )
            for each in self._order.sources
        }
        held = [(part, side) for part, side in work if not is_streamed(part, side)]
        with self.stages.stage(f"reading {', '.join(sorted(sources))}"):
            datasets = load_all([part.source(side) for part, side in held], sources)
        tables: dict[tuple[int, int], Brought] = {}
        for part, side in work:
            with self.stages.stage(f"the local part of step {part.node}"):
                if (part, side) in held:
                    tables[part.node, side] = side_table(part, side, datasets)
                elif isinstance(part.placement, Sealed):
                    tables[part.node, side] = self._spilled(specs[part.node], part, side, sources)
                else:
                    # Read twice: what is wrong with a release stops a job before anybody is met.
                    side_stream(part, side, sources).drain()
                    tables[part.node, side] = side_stream(part, side, sources)
        return tables

    def _spilled(
        self, spec: bytes, part: Part, side: int, sources: Mapping[str, Source]
    ) -> private.SpilledTable:
        stream = side_stream(part, side, sources)
        progress = self._progress(part.node)
        with stream.explained():
            return private.spill_table(spec, side, stream, str(self._directory), progress)

    def _meet(self, work: Sequence[tuple[Part, int]], wanted: frozenset[str], seed: bytes) -> None:
        """Learns of all peers. Calls each as soon as it is known: it may be waiting, and for nobody else."""
        while not wanted <= self._peers.keys():
            peer = self._next_peer()
            self._peers[peer.player] = peer
            for part, _ in work:
                if peer.player in part.players and peer.address is not None and not peer.is_listener:
                    self._calls[part.node] = self._dial(peer.address, part, seed)

    def _dial(self, address: str, part: Part, seed: bytes) -> list[socket.socket]:
        """Calls for all lanes of a step at once: each takes two round trips."""

        def call(lane: int) -> socket.socket:
            route = Route(self._order.plan_hash, part.node, lane, self._order.player)
            return dial(address, Call.signed(route, seed), self._order.connect_timeout_s)

        with ThreadPoolExecutor(lanes(part)) as pool:
            return list(pool.map(call, range(lanes(part))))

    def _join(
        self, spec: bytes, part: Part, side: int, table: Table | private.SpilledTable, seed: bytes
    ) -> SealReport:
        peer = self._peers[part.players[1 - side]]
        taken: dict[int, socket.socket] = {}

        def descriptors(lane: int, connections: Iterable[socket.socket]) -> Generator[int]:
            for connection in connections:
                with connection:
                    taken[lane] = connection
                    yield connection.fileno()

        with self.stages.stage(f"sealed join of step {part.node} with {peer.player}"), ExitStack() as stack:
            connections = enumerate(self._connections(part, peer))
            sources = [stack.enter_context(closing(descriptors(*each))) for each in connections]
            report = private.sealed_join(
                spec,
                side,
                table,
                sources,
                peer.is_listener,
                seed,
                bytes.fromhex(peer.job_key),
                str(self._path(part, side)),
                self._progress(part.node),
                float(self._order.stall_timeout_s),
            )
            if seen := observe([taken[lane] for lane in sorted(taken)]):
                self._say(Observed(peer=peer.player, **seen._asdict()))
            return report

    def _connections(self, part: Part, peer: Peer) -> list[Iterable[socket.socket]]:
        """For each lane the connections that may be the peer's, the control lane's first."""
        if part.node in self._calls:
            calls = self._calls.pop(part.node)
            agree_to_go(calls[CONTROL_LANE], self._order.job_timeout_s)
            return [[each] for each in calls]
        routes = (Route(self._order.plan_hash, part.node, lane, peer.player) for lane in range(lanes(part)))
        return [self._incoming.calls(each, self._order.connect_timeout_s) for each in routes]

    def _release(self, spec: bytes, part: Part, table: Table | Rows) -> SealReport:
        explained = table.explained() if isinstance(table, Rows) else nullcontext()
        with self.stages.stage(f"sealing the result of step {part.node}"), explained:
            return private.release_table(spec, table, str(self._path(part, 0)), self._progress(part.node))

    def _path(self, part: Part, side: int) -> Path:
        return self._directory / stream_name(part.node, side)

    def _stream(self, part: Part, side: int, facts: SealReport) -> Stream:
        with self._path(part, side).open("rb") as file:
            # The machine may crash between this word and the upload: the bytes must outlive it.
            os.fsync(file.fileno())
        for each in facts["own_steps"]:
            self._say(Timed(node=part.node, **each))
        return Stream(
            node=part.node,
            side=side,
            attempt=facts["attempt"],
            header=facts["header"].hex(),
            sha256=facts["sha256"],
            bytes=facts["bytes"],
            sent_bytes=facts["sent_bytes"],
            received_bytes=facts["received_bytes"],
            rounds=facts["rounds"],
            steps=tuple(
                Measured(
                    step=each["step"],
                    milliseconds=round(1000 * each["seconds"]),
                    sent_bytes=each["sent_bytes"],
                )
                # Signed and public, so only those whose time follows from the bounds.
                for each in facts["steps"]
            ),
        )

    def _progress(self, node: int) -> Callable[[str, int, int], None]:
        next_at = 0.0

        def progress(step: str, done: int, total: int) -> None:
            nonlocal next_at
            now = time.monotonic()
            if now >= next_at or done == total:
                next_at = now + PROGRESS_EVERY_S
                self._say(Progressed(node=node, step=step, done=done, total=total))

        return progress


def public_failure(error: BaseException, stage: str) -> Failed:
    """What everybody may hear of an error: its class, its code and the stage. Texts stay with the owner."""
    if isinstance(error, PeerError | ProtocolAbort):
        return Failed(
            kind=type(error).__name__, code=error.code, message=f"{stage}: {error.message}", hint=error.hint
        )
    if isinstance(error, XorError):
        hint = "the owner finds the details in the log of its machine."
        return Failed(kind=type(error).__name__, code=error.code, message=f"{stage}: stopped", hint=hint)
    if isinstance(error, MemoryError):
        return Failed(kind="ResourceError", code="resource.memory", message=f"{stage}: out of memory")
    if isinstance(error, OSError):
        return Failed(kind="ResourceError", code="resource.system", message=f"{stage}: the system refused")
    return Failed(kind=InternalError.__name__, code="internal.worker", message=f"{stage}: stopped")


def private_detail(error: BaseException) -> str:
    """For the log of the machine that owns the data. Foreign exceptions may quote rows: only their class."""
    if isinstance(error, DataError):
        return str(error)
    return str(error) if isinstance(error, XorError) else type(error).__name__


def main(arguments: list[str]) -> int:
    sandbox.harden()
    sandbox.die_with(int(arguments[0]))
    # Ctrl-C in the machine's terminal reaches this process too; what then happens is the machine's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handed = socket.socket(fileno=int(arguments[1]))
    say = _mouth()
    say(Warm())
    line = sys.stdin.readline()
    if not line:
        return 0
    order = Order.model_validate_json(line)
    sources = [Path(each.file.path) for each in order.sources]
    say(Confined(level=sandbox.confine(sources, [Path(order.directory)])))
    worker = Worker(order, _peers(sys.stdin), handed, say)
    try:
        worker.run()
    except BaseException as error:  # the one place: a Rust panic is no Exception
        say(Broke(failure=public_failure(error, worker.stages.now), detail=private_detail(error)))
        return 1
    return 0


def _mouth() -> Say:
    """Standard output for words only: whatever a library prints goes to standard error."""
    words = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(word: Word) -> None:
        with lock:
            words.write(word.model_dump_json() + "\n")

    return say


def _peers(lines: TextIO) -> Callable[[], Peer]:
    """Reads peers in a thread that also notices the machine's death. Started after the confinement."""
    found: queue.SimpleQueue[Peer] = queue.SimpleQueue()

    def read() -> None:
        for line in lines:
            found.put(Peer.model_validate_json(line))
        os._exit(1)

    threading.Thread(target=read, daemon=True, name="commands").start()
    return found.get


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
