"""Datasets in files, in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xor.engine.sources import Source
from xor.model.dataset import ColumnEntry, DatasetEntry

MakeSource = Callable[..., Source]


def entry(
    name: str, columns: dict[str, str], rows: int = 100, unique: tuple[tuple[str, ...], ...] = ()
) -> DatasetEntry:
    """An entry; text columns are declared with at most 20 bytes."""
    return DatasetEntry(
        network="test",
        name=name,
        owner="bank-a",
        player="player-0",
        columns=tuple(
            ColumnEntry(name=column, type=type_, max_bytes=20 if type_ == "text" else None)
            for column, type_ in columns.items()
        ),
        rows=rows,
        unique=unique,
    )


@pytest.fixture
def csv_source(tmp_path: Path) -> MakeSource:
    """Writes bytes as a CSV file and declares it."""

    def make(
        content: bytes,
        columns: dict[str, str],
        *,
        name: str = "accounts",
        header: tuple[str, ...] | None = None,
        rows: int = 100,
        unique: tuple[tuple[str, ...], ...] = (),
    ) -> Source:
        path = tmp_path / f"{name}.csv"
        path.write_bytes(content)
        return Source(entry(name, columns, rows, unique), path, "csv", header)

    return make
