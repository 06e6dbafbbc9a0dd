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
from typing import TYPE_CHECKING, TextIO, TypeVar

from xor.engine import matched, memory, private
from xor.engine.arrived import Arrived
from xor.engine.duck import Limits
from xor.engine.local import Dataset, Table, fetched, load_all
from xor.engine.postgres import PostgresSource, Snapshot
from xor.engine.sources import Source
from xor.engine.stage import side_stream, side_table
from xor.engine.streaming import Stream as Rows
from xor.errors import DataError, InternalError, PeerError, PlanError, ProtocolAbort, XorError
from xor.machine import sandbox
from xor.machine.core import peers_of
from xor.machine.directory import SourceFile, SourceTable
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
    Refused,
    Timed,
    Warm,
    Word,
    stream_name,
)
from xor.machine.routing import CONTROL_LANE, Call, Route
from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.plan.codec import decode_plan, plan_hash
from xor.plan.cost import exchange_of, lanes
from xor.plan.estimate import is_streamed
from xor.plan.placed import Exchange, Part, PlacedPlan, Sealed
from xor.plan.spec import matched_spec, spec
from xor.signing import decode
from xor.wire.messages import Measured

if TYPE_CHECKING:
    from xor.engine.private import MatchReport, SealReport

PROGRESS_EVERY_S = 0.25

Say = Callable[[Word], None]
Report = TypeVar("Report")
Connections = Sequence[Iterable[int]]
"""For each lane the descriptors of sockets that may lead to the peer."""
Task = tuple[Part | Exchange, int]
"""A step, and the side of it that this player computes."""
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
    """Runs the steps of one plan that its player takes part in."""

    def __init__(self, order: Order, peers: Callable[[], Peer], handed: socket.socket, say: Say) -> None:
        self._order = order
        self._next_peer = peers
        self._say = say
        self._incoming = Incoming(handed, order.plan_hash)
        self._peers: dict[str, Peer] = {}
        self._calls: dict[int, list[socket.socket]] = {}
        self._directory = Path(order.directory)
        self._limits = Limits(memory_bytes=order.memory_bytes)
        self._datasets: dict[str, Dataset] = {}
        self._snapshots: dict[str, Snapshot] = {}
        """By URL: one moment of each database for the whole job. The process's end closes them."""
        self._arrived: dict[int, Arrived] = {}
        self.stages = Stages()

    def run(self) -> None:
        """The whole job, from the order to finished streams."""
        with self.stages.stage("checking the plan"):
            plan, agreement = self._checked()
        work = self._work(plan)
        specs = [self._spec(plan, step, agreement) for step, _ in work]
        tables = self._read_tables(plan, work, specs)
        seed, public = private.job_key()
        self._say(Ready(job_key=public.hex()))
        with self.stages.stage("meeting the other machines"):
            self._meet(plan, seed)
        streams = []
        for number, (step, side) in enumerate(work):
            table = tables.pop(number) if number in tables else self._late_table(plan, step, side)
            if isinstance(step, Exchange):
                assert isinstance(table, Table)
                self._match(specs[number], step, side, table, seed)
                continue
            if isinstance(step.placement, Sealed):
                assert not isinstance(table, Rows)  # another caller may have to read it again
                facts = self._join(specs[number], step, side, table, seed)
            else:
                assert not isinstance(table, private.SpilledTable)  # only joins spill beforehand
                facts = self._release(specs[number], step, table)
            streams.append(self._stream(step, side, facts))
        self._say(Finished(streams=tuple(streams)))

    def _checked(self) -> tuple[PlacedPlan, Agreement]:
        payload = self._order.plan.encode()
        if plan_hash(payload) != self._order.plan_hash:
            raise PlanError("the plan is not the one that was approved", code="plan.wrong-hash")
        return decode_plan(payload), decode(Agreement, self._order.agreement.encode())

    def _work(self, plan: PlacedPlan) -> list[Task]:
        """Every step and side of this player, in the order of the plan, which is the same everywhere."""
        return [
            (step, side)
            for step in plan.steps
            for side, player in enumerate(step.players)
            if player == self._order.player
        ]

    def _spec(self, plan: PlacedPlan, step: Part | Exchange, agreement: Agreement) -> bytes:
        if isinstance(step, Exchange):
            return matched_spec(plan, self._order.plan_hash, step.node)
        return spec(plan, self._order.plan_hash, step, agreement)

    def _read_tables(
        self, plan: PlacedPlan, work: Sequence[Task], specs: Sequence[bytes]
    ) -> dict[int, Brought]:
        """Tables that this player brings, by place in `work`, checked: every one, before any peer is met.

        But for those built on rows that are still to arrive: of these, the datasets that it adds.
        """
        entries = {entry.name: entry for entry in plan.datasets}
        held = [isinstance(step, Exchange) or not is_streamed(step, side) for step, side in work]
        with self.stages.stage(f"reading {', '.join(sorted(each.dataset for each in self._order.sources))}"):
            sources = {
                each.dataset: self._source(entries[each.dataset], each.found) for each in self._order.sources
            }
            read = (step.source(side) for (step, side), is_held in zip(work, held, strict=True) if is_held)
            datasets = load_all(read, sources, self._limits)
        tables: dict[int, Brought] = {}
        for number, (step, side) in enumerate(work):
            if plan.is_late(step, side):
                self._datasets = {name: fetched(each, self._limits) for name, each in datasets.items()}
                continue
            with self.stages.stage(f"the local part of step {step.node}"):
                if held[number]:
                    tables[number] = side_table(step, side, datasets, self._limits)
                elif isinstance(step, Part) and isinstance(step.placement, Sealed):
                    tables[number] = self._spilled(specs[number], step, side, sources)
                elif isinstance(step, Part):
                    # Read twice: what is wrong with a release stops a job before anybody is met.
                    side_stream(step, side, sources, self._limits).drain()
                    tables[number] = side_stream(step, side, sources, self._limits)
        return tables

    def _source(self, entry: DatasetEntry, found: SourceFile | SourceTable) -> Source | PostgresSource:
        if isinstance(found, SourceFile):
            return Source(entry, Path(found.path), found.format, found.header)
        if found.url not in self._snapshots:
            self._snapshots[found.url] = Snapshot(found.database, self._order.job_timeout_s)
        return PostgresSource(entry, self._snapshots[found.url], found.schema_name, found.table)

    def _late_table(self, plan: PlacedPlan, step: Part | Exchange, side: int) -> Table:
        """What this player brings to a step that is built on rows that have arrived by now."""
        with self.stages.stage(f"the local part of step {step.node}"):
            source = matched.over(plan, plan.source_of(step, side), self._arrived)
            return side_table(step, side, self._datasets, self._limits, source=source)

    def _spilled(
        self, spec: bytes, part: Part, side: int, sources: Mapping[str, Source | PostgresSource]
    ) -> private.SpilledTable:
        stream = side_stream(part, side, sources, self._limits)
        progress = self._progress(part.node)
        with stream.explained():
            return private.spill_table(spec, side, stream, str(self._directory), progress)

    def _meet(self, plan: PlacedPlan, seed: bytes) -> None:
        """Learns of all peers. Calls each as soon as it is known: it may be waiting, and for nobody else."""
        player = self._order.player
        while not peers_of(plan, player) <= self._peers.keys():
            peer = self._next_peer()
            self._peers[peer.player] = peer
            for exchange in plan.exchanges_of(player):
                if peer.player in exchange.players and peer.address is not None and not peer.is_listener:
                    self._calls[exchange.node] = self._dial(peer.address, exchange, seed)

    def _dial(self, address: str, exchange: Exchange, seed: bytes) -> list[socket.socket]:
        """Calls for all lanes of a step at once: each takes two round trips."""

        def call(lane: int) -> socket.socket:
            route = Route(self._order.plan_hash, exchange.node, lane, self._order.player)
            return dial(address, Call.signed(route, seed), self._order.connect_timeout_s)

        with ThreadPoolExecutor(lanes(exchange)) as pool:
            return list(pool.map(call, range(lanes(exchange))))

    def _join(
        self, spec: bytes, part: Part, side: int, table: Table | private.SpilledTable, seed: bytes
    ) -> SealReport:
        peer = self._peers[part.players[1 - side]]

        def join(connections: Connections) -> SealReport:
            return private.sealed_join(
                spec,
                side,
                table,
                connections,
                peer.is_listener,
                seed,
                bytes.fromhex(peer.job_key),
                str(self._path(part, side)),
                self._progress(part.node),
                float(self._order.stall_timeout_s),
            )

        exchange = exchange_of(part)
        assert exchange is not None  # its part is a sealed join
        with self.stages.stage(f"sealed join of step {part.node} with {peer.player}"):
            return self._connected(exchange, peer, join)

    def _match(self, spec: bytes, exchange: Exchange, side: int, table: Table, seed: bytes) -> None:
        """One side of a matched join; what the receiver gets is there for later steps."""
        peer = self._peers[exchange.players[1 - side]]
        is_receiver = exchange.placement.at == self._order.player
        brought = matched.own_keys(exchange.join, table) if is_receiver else table

        def match(connections: Connections) -> MatchReport:
            return private.matched_join(
                spec,
                side,
                brought,
                connections,
                peer.is_listener,
                seed,
                bytes.fromhex(peer.job_key),
                self._progress(exchange.node),
                float(self._order.stall_timeout_s),
            )

        with self.stages.stage(f"matched join of step {exchange.node} with {peer.player}"):
            report = self._connected(exchange, peer, match)
            for each in report["own_steps"]:
                self._say(Timed(node=exchange.node, **each))
            if keys := report.get("refused_keys", 0):
                self._say(Refused(node=exchange.node, peer=peer.player, keys=keys))
            if is_receiver:
                self._arrived[exchange.node] = matched.joined(
                    exchange, table, report["numbers"], report["rows"]
                )

    def _connected(self, exchange: Exchange, peer: Peer, talk: Callable[[Connections], Report]) -> Report:
        """Talks to a peer over the lanes of a step, whoever called."""
        taken: dict[int, socket.socket] = {}

        def descriptors(lane: int, connections: Iterable[socket.socket]) -> Generator[int]:
            for connection in connections:
                with connection:
                    taken[lane] = connection
                    yield connection.fileno()

        with ExitStack() as stack:
            connections = enumerate(self._connections(exchange, peer))
            sources = [stack.enter_context(closing(descriptors(*each))) for each in connections]
            report = talk(sources)
            if seen := observe([taken[lane] for lane in sorted(taken)]):
                self._say(Observed(peer=peer.player, **seen._asdict()))
            return report

    def _connections(self, exchange: Exchange, peer: Peer) -> list[Iterable[socket.socket]]:
        """For each lane the connections that may be the peer's, the control lane's first."""
        node, count = exchange.node, lanes(exchange)
        if node in self._calls:
            calls = self._calls.pop(node)
            agree_to_go(calls[CONTROL_LANE], self._order.job_timeout_s)
            return [[each] for each in calls]
        routes = (Route(self._order.plan_hash, node, lane, peer.player) for lane in range(count))
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
        hint = "its operator may raise memory_mib in machine.toml."
        return Failed(
            kind="ResourceError", code="resource.memory", message=f"{stage}: out of memory", hint=hint
        )
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
    memory.keep_freed()
    order = Order.model_validate_json(line)
    memory.limit(order.memory_bytes)
    sources = [path for each in order.sources for path in each.found.needed]
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
