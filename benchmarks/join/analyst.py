"""The analyst as a process: opens both streams and writes the joined CSV file, batch by batch."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa

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
    with child.step("write"), Path(order["joined"]).open("wb") as file:
        _write(opened, file)
    child.finish(matches=opened.rows)


def _write(opened: _core.ArrowStream, file: BinaryIO) -> None:
    """Decodes a batch while the one before is written: never more than two are in memory."""
    batches = pa.RecordBatchReader.from_stream(opened)
    header = pl.DataFrame(batches.schema.empty_table())
    header.write_csv(file)
    with ThreadPoolExecutor(1) as writer:
        written: Future[None] | None = None
        for batch in batches:
            if written:
                written.result()
            written = writer.submit(_append, batch, file)
        if written:
            written.result()


def _append(batch: pa.RecordBatch, file: BinaryIO) -> None:
    pl.DataFrame(batch).write_csv(file, include_header=False)


def _ignore(_step: str, _done: int, _total: int) -> None:
    """As in `xor.dataframe.open`: progress of opening is shown to nobody."""


if __name__ == "__main__":
    main()
