"""One player as a process: reads its CSV file by the engine's own classes, runs the core, leaves a stream."""

import socket
from pathlib import Path

from benchmarks.join.child import Child
from benchmarks.join.plan import work
from xor.engine import memory, private
from xor.engine.local import Table, load_all
from xor.engine.stage import side_stream, side_table
from xor.plan.estimate import is_streamed

_STALL_TIMEOUT_S = 600.0


class Meeting:
    """What a player hears before it may begin: its order, then the other one's key and address."""

    def __init__(self, child: Child) -> None:
        self.order = child.hear()
        self.side = int(self.order["side"])
        self.seed, public = private.job_key()
        self.listener = socket.create_server(("127.0.0.1", 0)) if self.side == 0 else None
        port = self.listener.getsockname()[1] if self.listener else None
        child.say(job_key=public.hex(), port=port)
        self._heard = child.hear()
        self.seal_key: str = self._heard["seal_key"]
        self.peer_key = bytes.fromhex(self._heard["peer_key"])

    def connections(self, lanes: int) -> list[socket.socket]:
        """Both sides open lanes in the same order, the proxy of a shaped link included."""
        address = ("127.0.0.1", self._heard["port"])
        return [
            self.listener.accept()[0] if self.listener else socket.create_connection(address)
            for _ in range(lanes)
        ]


def main() -> None:
    memory.keep_freed()
    child = Child()
    meeting = Meeting(child)
    order, side = meeting.order, meeting.side
    task = work(order["rows"], order["oprf"], meeting.seal_key)
    lanes = meeting.connections(task.lanes)
    child.await_start()

    source = task.source(side, Path(order["csv"]))
    sources = {source.entry.name: source}
    table: Table | private.SpilledTable
    if is_streamed(task.part, side):
        with child.step("read"):
            stream = side_stream(task.part, side, sources)
            directory = str(Path(order["stream"]).parent)
            with stream.explained():
                table = private.spill_table(task.spec, side, stream, directory, _ignore)
    else:
        with child.step("read"):
            datasets = load_all([task.part.source(side)], sources)
        with child.step("local"):
            table = side_table(task.part, side, datasets)
        del datasets
    with child.step("join"):
        report = private.sealed_join(
            task.spec,
            side,
            table,
            [[each.fileno()] for each in lanes],
            meeting.listener is not None,
            meeting.seed,
            meeting.peer_key,
            order["stream"],
            _ignore,
            _STALL_TIMEOUT_S,
        )
    for each in report["own_steps"]:
        child.note(f"join/{each['step']}", each["seconds"])
    child.finish(
        stream=[report["header"].hex(), report["sha256"], order["stream"]],
        stream_bytes=report["bytes"],
        sent_bytes=report["sent_bytes"],
        rounds=report["rounds"],
    )


def _ignore(_step: str, _done: int, _total: int) -> None:
    """The machine's worker drops most progress as well."""


if __name__ == "__main__":
    main()
