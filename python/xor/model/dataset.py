"""Catalogue entries: what an owner declares about a dataset. Bounds, never counts or values."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Bounded

from xor.model.types import ColumnRef, DataType, Field, Kind, Schema

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Names of networks, members, players and datasets: no spaces, quotes, slashes or shell characters."""

DATASET_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Names of datasets: no dot either, so that `dataset.column` means one thing in a policy."""

MAX_ROWS = 2**40
MAX_TEXT_BYTES = 2**20
MAX_UNIQUE = 64
"""Of a dataset: unique column sets, and columns of one."""


class Strict(BaseModel):
    """Base of every document that crosses a border: immutable, no coercion, no unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


UniqueColumns = Annotated[tuple[str, ...], Bounded(max_length=MAX_UNIQUE)]


class ColumnEntry(Strict):
    """A declared column; `max_bytes` (UTF-8) is present exactly for text."""

    name: str = Bounded(min_length=1, max_length=256)
    type: str = Bounded(max_length=80)
    max_bytes: int | None = Bounded(default=None, ge=0, le=MAX_TEXT_BYTES)

    def model_post_init(self, _context: object) -> None:
        is_text = DataType.parse(self.type).kind is Kind.TEXT
        if is_text != (self.max_bytes is not None):
            raise ValueError("max_bytes belongs to text columns, and each of them has one")


class DatasetEntry(Strict):
    """What the catalogue says of one dataset, signed by its owner.

    Args:
        rows: owner-declared upper bound of rows.
        unique: lists of columns of which no combination appears twice (NULLs aside).
    """

    payload_type: ClassVar[str] = "application/vnd.xor.dataset.v1+json"

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    name: str = Bounded(pattern=DATASET_NAME)
    owner: str = Bounded(pattern=NAME)
    player: str = Bounded(pattern=NAME)
    columns: tuple[ColumnEntry, ...] = Bounded(min_length=1, max_length=4096)
    rows: int = Bounded(ge=0, le=MAX_ROWS)
    unique: tuple[UniqueColumns, ...] = Bounded(default=(), max_length=MAX_UNIQUE)

    def model_post_init(self, _context: object) -> None:
        known = {column.name for column in self.columns}
        if len(known) != len(self.columns):
            raise ValueError("a column name appears twice")
        if any(not group or not set(group) <= known for group in self.unique):
            raise ValueError("unique names a column that is not there")

    @property
    def schema(self) -> Schema:  # type: ignore[override]  # pydantic keeps an old method of that name
        return Schema(
            tuple(
                Field(
                    column.name,
                    DataType.parse(column.type),
                    column.max_bytes,
                    frozenset({ColumnRef(self.name, column.name)}),
                )
                for column in self.columns
            )
        )
