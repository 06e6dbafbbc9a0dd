"""One player of the matched join as a process: the receiver joins the rows and writes their CSV file."""

from pathlib import Path

import polars as pl

from benchmarks.join.child import Child
from benchmarks.join.plan import matched_work
from benchmarks.join.player import Meeting
from xor.engine import matched, memory, private
from xor.engine.local import load_all
from xor.engine.sources import Source
from xor.engine.stage import side_table
from xor.plan.cost import lanes

_STALL_TIMEOUT_S = 600.0


def main() -> None:
    memory.keep_freed()
    child = Child()
    meeting = Meeting(child)
    order, side = meeting.order, meeting.side
    exchange, spec = matched_work(order["rows"], order["oprf"])
    connections = meeting.connections(lanes(exchange))
    child.await_start()

    source = exchange.source(side)
    (entry,) = source.datasets
    with child.step("read"):
        datasets = load_all([source], {entry.name: Source(entry, Path(order["csv"]), "csv")})
    with child.step("local"):
        table = side_table(exchange, side, datasets)
    del datasets
    is_receiver = exchange.players[side] == exchange.placement.at
    with child.step("join"):
        report = private.matched_join(
            spec,
            side,
            matched.own_keys(exchange.join, table) if is_receiver else table,
            [[each.fileno()] for each in connections],
            meeting.listener is not None,
            meeting.seed,
            meeting.peer_key,
            lambda *_: None,
            _STALL_TIMEOUT_S,
        )
    for each in report["own_steps"]:
        child.note(f"join/{each['step']}", each["seconds"])
    matches = None
    if is_receiver:
        with child.step("match"):
            joined = matched.joined(exchange, table, report["numbers"], report["rows"])
        with child.step("write"), Path(order["joined"]).open("wb") as file:
            pl.DataFrame(joined.arrow).write_csv(file)
        matches = joined.arrow.num_rows
    child.finish(matches=matches, sent_bytes=report["sent_bytes"], rounds=report["rounds"])


if __name__ == "__main__":
    main()
