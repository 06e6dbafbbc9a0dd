"""Two workers run a plan with matched joins: in the same order, over sockets, and only one has a stream."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from xor import _core
from xor.engine import private
from xor.errors import DataError, ResourceError
from xor.machine.directory import SourceFile
from xor.machine.meeting import hand_over
from xor.machine.orders import DatasetSource, Finished, Order, Peer, Ready, Refused, Timed, Word
from xor.machine.routing import FRAME_BYTES, Call
from xor.machine.worker import Worker
from xor.plan.codec import encode_plan, plan_hash
from xor.plan.cost import lanes
from xor.plan.placed import Exchange, PlacedPlan
from xor.plan.predicates import Column, Compare, Comparison
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.plan.spec import release_spec
from xor.signing import encode
from xor.testing.answering import SEAL_SEED, agreement
from xor.testing.oracle import evaluate
from xor.testing.samples import entry, placed

HERE = Scan(entry("here", {"id": "int64", "x": "int64"}, rows=9))
ALSO = Scan(entry("also", {"key": "int64", "z": "int64"}, rows=9))
THERE = Scan(entry("there", {"ref": "int64", "y": "int64"}, player="player-1", rows=9))
ROWS: dict[str, list[dict[str, Any]]] = {
    "here": [{"id": 1, "x": 5}, {"id": 1, "x": 6}, {"id": 2, "x": 7}, {"id": None, "x": 8}],
    "also": [{"key": 1, "z": 50}, {"key": 3, "z": 60}],
    "there": [{"ref": 1, "y": 6}, {"ref": 1, "y": 4}, {"ref": 9, "y": 1}, {"ref": None, "y": 2}],
}
INNER, ANTI = (Join(HERE, THERE, (("id", "ref"),), kind) for kind in (JoinKind.INNER, JoinKind.ANTI))


class Core:
    """The real one; notes which side runs which step."""

    def __init__(self) -> None:
        self.order: list[tuple[int, int]] = []
        self.pretend: dict[str, int] = {}

    def matched_join(self, spec: bytes, side: int, *rest: Any) -> Any:
        self.order.append((side, json.loads(spec)["node"]))
        report = _core.matched_join(spec, side, *rest)
        assert report.get("refused_keys", 0) == 0
        return {**report, **self.pretend} if "rows" in report else report


class Network:
    """The workers of both players; player-0 listens, as its machine would for it."""

    def __init__(self, plan: PlacedPlan, directory: Path) -> None:
        self.plan, self.directory = plan, directory
        self.hash = plan_hash(encode_plan(plan))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.said: dict[str, list[Word]] = {"player-0": [], "player-1": []}
        self.errors: list[BaseException] = []

    def run(self) -> None:
        ours, handed = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        threading.Thread(target=self._listen, args=(ours,), daemon=True).start()
        threads = [threading.Thread(target=self._work, args=(player, handed)) for player in self.said]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        self.server.close()

    def _listen(self, ours: socket.socket) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            call = Call.from_bytes(connection.recv(FRAME_BYTES, socket.MSG_WAITALL))
            with connection:
                hand_over(ours, call.route, connection)

    def _work(self, player: str, handed: socket.socket) -> None:
        other = "player-1" if player == "player-0" else "player-0"
        is_listener = player == "player-0"
        address = None if is_listener else f"127.0.0.1:{self.server.getsockname()[1]}"

        def peer() -> Peer:
            while not (ready := [each for each in self.said[other] if isinstance(each, Ready)]):
                time.sleep(0.01)
            return Peer(player=other, job_key=ready[0].job_key, is_listener=is_listener, address=address)

        worker = Worker(self._order(player), peer, handed, self.said[player].append)
        try:
            worker.run()
        except BaseException as error:
            self.errors.append(error)

    def _order(self, player: str) -> Order:
        directory = self.directory / player
        directory.mkdir()
        sources = []
        for each in self.plan.datasets:
            if each.player == player:
                path = directory / f"{each.name}.csv"
                columns = [column.name for column in each.columns]
                rows = [",".join(columns)] + [
                    ",".join("" if row[name] is None else str(row[name]) for name in columns)
                    for row in ROWS[each.name]
                ]
                path.write_text("\n".join(rows) + "\n")
                file = SourceFile(path=str(path), format="csv")
                sources.append(DatasetSource(dataset=each.name, found=file))
        return Order(
            plan_hash=self.hash,
            plan=encode_plan(self.plan).decode(),
            agreement=encode(agreement()).decode(),
            player=player,
            sources=tuple(sources),
            directory=str(directory),
            memory_bytes=2**33,
            connect_timeout_s=10,
            stall_timeout_s=10,
            job_timeout_s=10,
        )

    def opened(self, player: str) -> list[tuple[object, ...]]:
        (part,) = self.plan.parts
        (stream,) = self.finished(player).streams
        path = self.directory / player / f"{part.node}-0.stream"
        spec = release_spec(self.plan, self.hash, part, agreement())
        rows = _core.open_release(
            spec, (bytes.fromhex(stream.header), stream.sha256, str(path)), SEAL_SEED, lambda *_: None
        )
        return sorted(zip(*pa.table(rows).to_pydict().values(), strict=True), key=repr)

    def finished(self, player: str) -> Finished:
        assert not self.errors, self.errors
        (found,) = [each for each in self.said[player] if isinstance(each, Finished)]
        return found


def _ran(relation: Relation, directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Network, Core]:
    plan = placed(relation, permits=lambda _: True)
    core = Core()
    monkeypatch.setattr(private, "matched_join", core.matched_join)
    network = Network(plan, directory)
    network.run()
    return network, core


@pytest.mark.parametrize(
    "relation",
    [
        ANTI,
        Filter(INNER, Compare(Comparison.LT, Column("x"), Column("y"))),
        Join(Project(INNER, (("key_0", "id"), ("y", "y"))), ALSO, (("key_0", "key"),)),
        Join(Concat((ANTI, ANTI)), ALSO, (("id", "key"),), JoinKind.LEFT),
    ],
)
def test_the_receiver_releases_what_is_built_on_matched_rows_and_the_sender_nothing(
    relation: Relation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, core = _ran(relation, tmp_path, monkeypatch)
    assert network.finished("player-1").streams == ()
    assert network.opened("player-0") == sorted(evaluate(relation, ROWS), key=repr)
    nodes = [each.node for each in network.plan.steps if isinstance(each, Exchange)]
    for side in (0, 1):
        assert [node for other, node in core.order if other == side] == nodes
    assert any(isinstance(each, Timed) and each.step == "cells" for each in network.said["player-1"])


def test_a_long_matched_join_runs_over_all_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xor.plan.oprf.exchange.LANES_FROM_BYTES", 0)
    relation = Filter(INNER, Compare(Comparison.LT, Column("x"), Column("y")))
    network, _ = _ran(relation, tmp_path, monkeypatch)
    assert [lanes(each) for each in network.plan.exchanges] == [3]
    assert network.opened("player-0") == sorted(evaluate(relation, ROWS), key=repr)


def test_forged_cells_are_told_to_the_receivers_own_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = placed(ANTI, permits=lambda _: True)
    core = Core()
    core.pretend = {"refused_keys": 2}
    monkeypatch.setattr(private, "matched_join", core.matched_join)
    network = Network(plan, tmp_path)
    network.run()
    (told,) = [each for each in network.said["player-0"] if isinstance(each, Refused)]
    assert (told.peer, told.keys) == ("player-1", 2)
    # Nothing that leaves the machine depends on it.
    assert network.opened("player-0") == sorted(evaluate(ANTI, ROWS), key=repr)
    assert not any(isinstance(each, Refused) for each in network.said["player-1"])


def test_what_is_wrong_with_data_for_later_steps_stops_the_job_before_anybody_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "also", [{"key": "no number", "z": 1}])
    relation = Join(Project(INNER, (("key_0", "id"), ("y", "y"))), ALSO, (("key_0", "key"),))
    plan = placed(relation, permits=lambda _: True)
    network = Network(plan, tmp_path)
    network._work("player-0", socket.socketpair()[0])
    network.server.close()
    (error,) = network.errors
    assert isinstance(error, DataError | ResourceError)
    assert network.said["player-0"] == []
