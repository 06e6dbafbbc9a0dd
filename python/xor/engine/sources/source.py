"""A declared dataset and the file it lies in."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Literal

from xor.errors import DataError, UsageError
from xor.model.dataset import DatasetEntry

Format = Literal["csv", "parquet"]
Bytes = bytes | mmap


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


def format_of(path: Path) -> Format:
    """The format that a file's name promises.

    Raises:
        UsageError: it ends neither in .csv nor in .parquet.
    """
    match path.suffix.lower():
        case ".csv":
            return "csv"
        case ".parquet":
            return "parquet"
    raise UsageError(
        f"'{path.name}' is no source: its name ends neither in .csv nor in .parquet",
        code="usage.unknown-format",
        hint="other sources follow.",
    )


@contextmanager
def opened(path: Path) -> Iterator[Bytes]:
    """The bytes of a file, mapped into memory.

    Raises:
        DataError: there is no such file, or it is not readable.
    """
    content = _mapped(path)
    try:
        yield content
    finally:
        # An exception's frames may still point into the map; then it closes with them.
        with suppress(BufferError):
            if isinstance(content, mmap):
                content.close()


def _mapped(path: Path) -> Bytes:
    try:
        with path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except ValueError:  # an empty file cannot be mapped
        return b""
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
