"""One entry to all formats."""

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from xor.engine.sources import csv, parquet
from xor.engine.sources.source import Format, Source

_READERS: Mapping[Format, Callable[[Source], pa.Table]] = {"csv": csv.read, "parquet": parquet.read}
_PIECES: Mapping[Format, Callable[[Source], Iterator[pa.Table]]] = {
    "csv": csv.pieces,
    "parquet": parquet.pieces,
}


def read(source: Source) -> pa.Table:
    """All rows of a dataset with their declared names, in the Arrow types of `engine.arrow`.

    Raises:
        DataError: the file is missing, broken or not as declared. Names file, line and column, never a value.
    """
    return _READERS[source.format](source)


def pieces(source: Source) -> Iterator[pa.Table]:
    """The rows of `read`, a few at a time and in order: a dataset may be larger than memory.

    Raises:
        DataError: as `read`, but some pieces may have been given before what is wrong is reached.
    """
    return _PIECES[source.format](source)
