"""The private join beside the plaintext join of the same rows, in one process.

    python -m benchmarks.join --rows 5000 --json

Both players run in threads over an in-memory channel; the opened table counts, files do not. The last line
printed is one JSON object. Medians of `--runs`; the ratio is what to compare between machines.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from xor import _core
from xor.plan.relations import padded
from xor.signing import canonical


def keys(rows: int, offset: int) -> pa.Table:
    """Accounts with a balance; two tables with offsets half of `rows` apart share half of them."""
    names = [f"YY_{number * 7919 % 999_999_937:09d}" for number in range(offset, offset + rows)]
    return pa.table({"k0": names, "account": names, "balance": list(range(rows))})


def spec(rows: int) -> bytes:
    payload = [{"name": "account", "type": "text", "max_bytes": 16}, {"name": "balance", "type": "int64"}]
    right = [{**column, "name": f"{column['name']}_1"} for column in payload]
    return canonical(
        {
            "version": 1,
            "plan_hash": "00" * 32,
            "node": 0,
            "kind": "inner",
            "opener": 0,
            "rows": [padded(rows), padded(rows)],
            "keys": [{"left": {"type": "text"}, "right": {"type": "text"}}],
            "payload": [payload, right],
            "oprf": "dh",
            "recipients": [{"name": "analyst", "seal_key": _core.seal_public_key(bytes(32)).hex()}],
        }
    )


def median_s(work: Callable[[], Any], runs: int) -> float:
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def measure(rows: int, runs: int) -> dict[str, Any]:
    left, right = keys(rows, 0), keys(rows, rows // 2)
    parameters = spec(rows)
    outcome: dict[str, Any] = {}

    def private() -> None:
        opened, transcript = _core.run_locally(parameters, (left, right), "dh")
        outcome.update(matches=pa.table(opened).num_rows, transcript=transcript)

    frames = pl.from_arrow(left), pl.from_arrow(right)
    plain_s = median_s(lambda: frames[0].join(frames[1], on="k0"), runs)
    seconds = median_s(private, runs)
    return {
        "rows": rows,
        "seconds": round(seconds, 4),
        "plaintext_seconds": round(plain_s, 6),
        "ratio": round(seconds / plain_s, 1),
        "matches": outcome["matches"],
        "transcript": outcome["transcript"],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=5_000, help="rows of each side")
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--json", action="store_true", help="print the JSON line only")
    options = arguments.parse_args()
    figures = measure(options.rows, options.runs)
    if not options.json:
        print(f"{options.rows} rows a side: {figures['seconds']} s, polars {figures['plaintext_seconds']} s")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
