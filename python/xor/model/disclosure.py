"""Disclosures: (what, to whom, under which condition). The unit that policies speak of.

`plan.disclosures` derives them from a placed plan, the judge checks each against the clauses, and
`explain()` prints the very same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """In which role somebody learns something."""

    PLAYER = "player"
    ANALYST = "analyst"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, order=True)
class Party:
    """Somebody who may learn something."""

    role: Role
    name: str

    def __str__(self) -> str:
        return f"{self.role.value} '{self.name}'"


class Subject(StrEnum):
    """What is disclosed, or done with the data."""

    PLAINTEXT = "plaintext"
    """Rows exist in the clear inside the zone of `to`."""
    LEAVES = "leaves"
    """Data leave the zone in the form `form`."""
    KEY = "key"
    """Columns are compared with `against`, in a result that `alongside` flow into as well."""
    GUESSES = "guesses"
    """`to` may test up to `amount` keys of its choice."""
    ROWS = "rows"
    """Values of `columns` are revealed to `to`, row by row. No column: only that rows exist or matched."""
    CONDITION = "condition"
    """Which rows `to` sees depends on `columns`. With enough questions that tells their values, so policies
    grant it like ROWS."""
    SIZES = "padded sizes"
    """Padded bounds of rows and bytes."""
    GROUPING = "grouping by key"
    """Which revealed rows share a key, even where the key is no output column."""
    DURATIONS = "durations"
    """How long later steps take, or that they break off for want of memory: after a join that one player has
    in the clear, that depends on what matched."""
    PROTECTION = "protection"
    """The adversary model under which cryptography runs, or that a clean room is simulated."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One thing that one party learns from one dataset at one step of a placed plan.

    Args:
        node: number of the step in the placed plan.
        subject: what is learned.
        dataset: whose data it is.
        to: who learns it; for KEY the player on the other side.
        columns: columns of `dataset` concerned, by their names there.
        against: KEY only: pairs (column of `dataset`, `dataset.column` that it is compared with), sorted.
        alongside: KEY only: the other datasets that flow into the same result, on either side.
        form: LEAVES: `sealed rows`; PROTECTION: `malicious` or `simulated clean room`; PLAINTEXT: the zone;
            ROWS: `all rows` or `matching rows`; ROWS and CONDITION: `implied` if `columns` may be told only
            because a dataset is read twice.
        is_matched: ROWS and CONDITION: only rows that met a row of another dataset are concerned.
        amount: GUESSES: keys; SIZES: rows. Padded bounds.
        where: a few words for a person: `sealed join of player-0 and player-1`.
    """

    node: int
    subject: Subject
    dataset: str
    to: Party
    columns: frozenset[str] = frozenset()
    against: tuple[tuple[str, str], ...] = ()
    alongside: frozenset[str] = frozenset()
    form: str = ""
    amount: int = 0
    is_matched: bool = False
    where: str = ""
