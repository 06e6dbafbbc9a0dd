"""The analyst as a process: opens both streams and writes the joined CSV file."""

import os
from pathlib import Path

import polars as pl

from benchmarks.join.child import Child
from benchmarks.join.plan import work
from xor import _core


def main() -> None:
    child = Child()
    order = child.hear()
    seed = os.urandom(32)
    child.say(seal_key=_core.seal_public_key(seed).hex())
    task = work(order["rows"], order["oprf"], _core.seal_public_key(seed).hex())
    child.await_start()

    with child.step("wait"):
        streams = [(bytes.fromhex(header), sha256, path) for header, sha256, path in child.hear()["streams"]]
    with child.step("open"):
        opened = _core.open_sealed(task.spec, streams, seed, _ignore)
    with child.step("decode"):
        frame = pl.DataFrame(opened)
    with child.step("write"), Path(order["joined"]).open("wb") as file:
        frame.write_csv(file)
    child.finish(matches=frame.height)


def _ignore(_step: str, _done: int, _total: int) -> None:
    """As in `xor.dataframe.open`: progress of opening is shown to nobody."""


if __name__ == "__main__":
    main()
