"""A declared dataset and the file it lies in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xor.errors import DataError
from xor.model.dataset import DatasetEntry

Format = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a dataset lies.

    Args:
        entry: what its owner declared; the file must be exactly that.
        path: the file; never interpreted as a pattern or a URL.
        header: column names where a CSV file has no header line, else None.
    """

    entry: DatasetEntry
    path: Path
    format: Format
    header: tuple[str, ...] | None = None


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A file descriptor of `path`, open for reading.

    Raises:
        DataError: there is no such file, or it is not readable.
    """
    try:
        with path.open("rb") as file:
            yield file.fileno()
    except FileNotFoundError:
        raise DataError(
            f"there is no file '{path.name}'",
            code="data.missing-file",
            hint="check the source of the dataset; it is relative to the file that names it.",
        ) from None
    except OSError as error:
        raise DataError(
            f"the file '{path.name}' cannot be read ({error.strerror})",
            code="data.unreadable",
            hint="the machine's user needs read permission, and the source must be a file.",
        ) from None


def check_names(names: tuple[str, ...], path: Path) -> None:
    """Refuses column names that appear twice or are empty."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"'{path.name}' names a column twice: {', '.join(map(repr, twice))}",
            code="data.duplicate-column",
            hint="every column needs a name of its own.",
        )
    if not all(names):
        raise DataError(
            f"'{path.name}' has a column without a name",
            code="data.unnamed-column",
            hint="name it in the header line, or give `columns` where the file has no header.",
        )


def check_declared(names: tuple[str, ...], source: Source) -> None:
    """Refuses columns other than the declared ones, or in another order."""
    check_names(names, source.path)
    declared = tuple(column.name for column in source.entry.columns)
    if names != declared:
        raise DataError(
            f"'{source.path.name}' does not have the columns declared for '{source.entry.name}'",
            code="data.header-mismatch",
            hint=f"declared: {', '.join(declared)}; found: {', '.join(names)}.",
        )
