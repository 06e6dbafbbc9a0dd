"""Column types and schemas.

Seven types, each nullable; anything else is refused by name. The text form (`decimal(18,2)`,
`timestamp[UTC]`) is the one used in network files, plans and error messages.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from xor.errors import SchemaError


class Kind(StrEnum):
    """What a value is, without its parameters."""

    BOOL = "bool"
    INT64 = "int64"
    DECIMAL = "decimal"
    FLOAT64 = "float64"
    TEXT = "text"
    DATE = "date"
    TIMESTAMP = "timestamp"


MAX_PRECISION = 38
_PLAIN = {kind.value: kind for kind in Kind if kind is not Kind.DECIMAL}
_DECIMAL = re.compile(r"decimal\((\d{1,2}), ?(\d{1,2})\)")
_TIMESTAMP = re.compile(r"timestamp\[([A-Za-z0-9_+\-/:]{1,64})\]")


@dataclass(frozen=True, slots=True)
class DataType:
    """One column type.

    Args:
        kind: the kind of value.
        precision, scale: digits in all and after the point; decimal only, `1 <= precision <= 38`.
        zone: time zone of an aware timestamp; None means naive. Both count microseconds.
    """

    kind: Kind
    precision: int = 0
    scale: int = 0
    zone: str | None = None

    def __post_init__(self) -> None:
        if self.kind is Kind.DECIMAL and not (
            1 <= self.precision <= MAX_PRECISION and 0 <= self.scale <= self.precision
        ):
            raise SchemaError(
                f"decimal({self.precision},{self.scale}) is not a type",
                code="schema.unknown-type",
                hint="decimal(p,s) takes 1 <= p <= 38 digits, s of them after the point.",
            )

    def __str__(self) -> str:
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision},{self.scale})"
        return f"timestamp[{self.zone}]" if self.zone else self.kind.value

    __repr__ = __str__

    @classmethod
    def parse(cls, text: str) -> DataType:
        """Reads the text form; an unknown type is a SchemaError that lists the known ones."""
        if match := _DECIMAL.fullmatch(text):
            return cls(Kind.DECIMAL, int(match[1]), int(match[2]))
        if match := _TIMESTAMP.fullmatch(text):
            return cls(Kind.TIMESTAMP, zone=match[1])
        if text in _PLAIN:
            return cls(_PLAIN[text])
        raise SchemaError(
            f"'{text}' is not a type",
            code="schema.unknown-type",
            hint="types: bool, int64, decimal(p,s), float64, text, date, timestamp, timestamp[ZONE].",
        )

    @property
    def key_kind(self) -> str:
        """The kind within which keys match; see docs/protocols/keys-and-rows.md.

        Raises:
            SchemaError: floats are never keys.
        """
        match self.kind:
            case Kind.FLOAT64:
                raise SchemaError(
                    "a float64 column cannot be a join key",
                    code="schema.float-key",
                    hint="declare the column as decimal(p,s): floats that look equal need not be.",
                )
            case Kind.INT64:
                return "int"
            case Kind.DECIMAL:
                return "int" if self.scale == 0 else "decimal"
            case Kind.TIMESTAMP:
                return "timestamp-aware" if self.zone else "timestamp-naive"
            case _:
                return self.kind.value


BOOL = DataType(Kind.BOOL)
INT64 = DataType(Kind.INT64)
FLOAT64 = DataType(Kind.FLOAT64)
TEXT = DataType(Kind.TEXT)
DATE = DataType(Kind.DATE)
TIMESTAMP = DataType(Kind.TIMESTAMP)


def decimal(precision: int, scale: int) -> DataType:
    return DataType(Kind.DECIMAL, precision, scale)


@dataclass(frozen=True, slots=True, order=True)
class ColumnRef:
    """A column of a dataset: `transactions_a.amount`."""

    dataset: str
    column: str

    def __str__(self) -> str:
        return f"{self.dataset}.{self.column}"


@dataclass(frozen=True, slots=True)
class Field:
    """A named column of a relation.

    Args:
        name: unique within its schema.
        type: the column type.
        max_bytes: declared bound of a text value in UTF-8 bytes; None where the type is not text.
        origins: the dataset columns that its values come from (more than one after a concat).
    """

    name: str
    type: DataType
    max_bytes: int | None = None
    origins: frozenset[ColumnRef] = field(default=frozenset(), compare=False)

    def renamed(self, name: str) -> Field:
        return replace(self, name=name)


@dataclass(frozen=True)
class Schema:
    """An ordered set of fields with distinct names."""

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for each in self.fields:
            if each.name in seen:
                raise SchemaError(
                    f"column '{each.name}' appears twice",
                    code="schema.duplicate-column",
                    hint="rename one of them, or join with suffixes.",
                )
            seen.add(each.name)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Field:
        """The field of that name.

        Raises:
            SchemaError: there is none; the hint lists near names and all columns.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise unknown_column(name, self.names) from None

    @cached_property
    def _by_name(self) -> Mapping[str, Field]:
        return {each.name: each for each in self.fields}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.fields)

    def select(self, names: Iterable[str]) -> Schema:
        return Schema(tuple(self[name] for name in names))


def unknown_column(name: str, names: Iterable[str], frame: str | None = None) -> SchemaError:
    """The SchemaError for a column that is not there, with the near names."""
    known = tuple(names)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(each) for each in near)}? " if near else ""
    of = f"frame '{frame}'" if frame else "the frame"
    return SchemaError(
        f"{of} has no column {name!r}.",
        code="schema.unknown-column",
        hint=f"{hint}Columns: {', '.join(known)}.",
    )
