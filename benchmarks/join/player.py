"""One player as a process: reads its CSV file by the engine's own classes, runs the core, leaves a stream."""

import socket
from pathlib import Path

from benchmarks.join.child import Child
from benchmarks.join.plan import work
from xor.engine import private
from xor.engine.local import load_all
from xor.engine.stage import side_table

_STALL_TIMEOUT_S = 600.0


def main() -> None:
    child = Child()
    order = child.hear()
    side = int(order["side"])
    seed, public = private.job_key()
    listener = socket.create_server(("127.0.0.1", 0)) if side == 0 else None
    child.say(job_key=public.hex(), port=listener.getsockname()[1] if listener else None)
    meeting = child.hear()
    task = work(order["rows"], order["oprf"], meeting["seal_key"])
    connection = (
        listener.accept()[0] if listener else socket.create_connection(("127.0.0.1", meeting["port"]))
    )
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    child.await_start()

    with child.step("read"):
        source = task.source(side, Path(order["csv"]))
        datasets = load_all([task.part.source(side)], {source.entry.name: source})
    with child.step("local"):
        table = side_table(task.part, side, datasets)
    del datasets
    with child.step("join"), connection:
        report = private.sealed_join(
            task.spec,
            side,
            table,
            connection.fileno(),
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


def _ignore(_step: str, _done: int, _total: int) -> None:
    """The machine's worker drops most progress as well."""


if __name__ == "__main__":
    main()
