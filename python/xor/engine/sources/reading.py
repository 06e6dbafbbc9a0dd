"""One entry to all formats."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from xor.engine.sources import csv, parquet
from xor.engine.sources.source import Format, Source

_READERS: Mapping[Format, Callable[[Source], pa.Table]] = {"csv": csv.read, "parquet": parquet.read}


def read(source: Source) -> pa.Table:
    """All rows of a dataset with their declared names, in the Arrow types of `engine.arrow`.

    Raises:
        DataError: the file is missing, broken or not as declared. Names file, line and column, never a value.
    """
    return _READERS[source.format](source)
