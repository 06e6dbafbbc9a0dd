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


def main() -> None:
    memory.keep_freed()
    child = Child()
    order = child.hear()
    side = int(order["side"])
    seed, public = private.job_key()
    listener = socket.create_server(("127.0.0.1", 0)) if side == 0 else None
    child.say(job_key=public.hex(), port=listener.getsockname()[1] if listener else None)
    meeting = child.hear()
    task = work(order["rows"], order["oprf"], meeting["seal_key"])
    lanes = [connect(listener, meeting["port"]) for _ in range(task.lanes)]
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
            listener is not None,
            seed,
            bytes.fromhex(meeting["peer_key"]),
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


def connect(listener: socket.socket | None, port: int) -> socket.socket:
    """The next lane: both sides open them in the same order, the proxy of a shaped link included."""
    return listener.accept()[0] if listener else socket.create_connection(("127.0.0.1", port))


def _ignore(_step: str, _done: int, _total: int) -> None:
    """The machine's worker drops most progress as well."""


if __name__ == "__main__":
    main()
