"""Measures the constants of the planner's cost model, `xor.plan.rates`, on this computer.

    python -m benchmarks.rates --rows 100000

Both players and the recipient run in this process, over TLS on loopback; with two idle cores each player has
one. What is printed is nanoseconds for each row, and beside each step what the planner predicts for it. Where
others use the computer, processor seconds of a player count. Copy what is found into `xor.plan.rates`, with
the date and the kind of machine.
"""

import argparse
import resource
import socket
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from xor import _core
from xor.model.agreement import Agreement
from xor.model.machine import Capacity
from xor.plan.conditions import Conditions, Line
from xor.plan.estimate import needs, seconds
from xor.plan.oprf.exchange import BACK_ENDS, Oprf
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Scan
from xor.plan.spec import spec
from xor.testing.samples import entry, placed
from xor.testing.three_banks import agreement, join

SEED = bytes(32)


def keys(rows: int, offset: int) -> pa.Table:
    """Accounts with a balance; two tables with offsets half of `rows` apart share half of them."""
    names = [f"YY_{number * 7919 % 999_999_937:09d}" for number in range(offset, offset + rows)]
    return pa.table({"k0": names, "account": names, "balance": list(range(rows))})


ONE_CORE = Capacity(memory_bytes=2**40, disk_bytes=2**40, cores=1, oprf=BACK_ENDS)
LOOPBACK = Line(rtt_s=50e-6, bytes_per_s=1e9, is_measured=True)


def plan_of(rows: int, oprf: Oprf) -> PlacedPlan:
    columns = {"account": "text(16)", "balance": "int64"}
    left = Scan(entry("a", columns, rows=rows))
    right = Scan(entry("b", columns, player="player-1", rows=rows))
    return placed(join(left, right, ("account", "account")), conditions=Conditions(back_ends=(oprf,)))


def _agreement() -> Agreement:
    key = _core.seal_public_key(SEED).hex()
    members = tuple(each.model_copy(update={"seal_key": key}) for each in agreement().analysts)
    return agreement().model_copy(update={"analysts": members})


def run(parameters: bytes, tables: tuple[pa.Table, pa.Table], directory: Path) -> tuple[list[Any], float]:
    """Both reports, and the seconds of opening."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialer = socket.create_connection(server.getsockname())
        listener, _ = server.accept()
    job_keys = _core.job_key(), _core.job_key()
    reports: list[Any] = [None, None]

    def play(side: int, connection: socket.socket) -> None:
        reports[side] = _core.sealed_join(
            parameters, side, tables[side], [[connection.fileno()]], side == 0, job_keys[side][0],
            job_keys[1 - side][1], str(directory / str(side)), lambda *_: None, 600.0,
        )  # fmt: skip

    threads = [threading.Thread(target=play, args=pair) for pair in enumerate((listener, dialer))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    streams = [
        (each["header"], each["sha256"], str(directory / str(side))) for side, each in enumerate(reports)
    ]
    began = time.perf_counter()
    pa.table(_core.open_sealed(parameters, streams, SEED, lambda *_: None))
    return reports, time.perf_counter() - began


def measure(rows: int, oprf: Oprf) -> None:
    plan = plan_of(rows, oprf)
    (part,) = plan.parts
    tables = keys(rows, 0), keys(rows, rows // 2)
    before = time.process_time()
    with TemporaryDirectory() as directory:
        parameters = spec(plan, "00" * 32, part, _agreement())
        reports, opening = run(parameters, tables, Path(directory))
    processor = (time.process_time() - before) / 2
    took: dict[str, float] = {}
    for report in reports:
        for step in report["own_steps"]:
            took[step["step"]] = max(took.get(step["step"], 0.0), step["seconds"])
    found = seconds(
        part, Conditions(dict.fromkeys(part.players, ONE_CORE), {frozenset(part.players): LOOPBACK})
    )
    print(f"{oprf}, {rows:,} rows a side: measured s (ns a row), predicted s")
    predicted = {"oprf": found.exchange.seconds, "seal": found.seal}
    for name, spent in (*took.items(), ("open", opening)):
        expected = found.open if name == "open" else predicted.get(name)
        beside = "" if expected is None else f", {expected:.3f}"
        print(f"  {name:6} {spent:8.3f} ({1e9 * spent / rows:,.0f}){beside}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10
    told = found.exchange.cpu_s + found.seal + found.open / 2
    print(f"  {processor:.3f} s of processor for each player, {told:.3f} predicted")
    one = needs(plan)[0].memory_bytes >> 20
    print(f"  {peak:,} MiB for both players and the recipient, {one:,} predicted for one")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    arguments.add_argument("--oprf", choices=BACK_ENDS, nargs="+", default=list(BACK_ENDS))
    options = arguments.parse_args()
    for oprf in options.oprf:
        for rows in options.rows:
            measure(rows, oprf)


if __name__ == "__main__":
    main()
