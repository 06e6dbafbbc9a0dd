"""What all clauses share: how one is read, what it answers, and what it may know when it is asked."""

from __future__ import annotations

import datetime as dt
import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Self

from xor.errors import UsageError
from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.model.disclosure import Disclosure, Subject
from xor.plan.placed import PlacedPlan
from xor.policy.grant import Grant
from xor.policy.tree import Node, Text, refusal

DAY_S = 86_400
MAX_LISTED = 12
"""Names that a refusal lists; who reads it can look up the others."""
Entries = tuple[tuple[Text, Node], ...]
"""The places of a policy that one clause owns: (name as written, what stands there)."""


class Outcome(Enum):
    ALLOWED = "allowed"
    DENIED = "denied"
    NOT_CONCERNED = "not concerned"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A clause's answer.

    Args:
        reason: denied: what would happen and what the clause allows instead, as a sentence.
        grant: denied: the least that, added to the policy, would allow it; None if no grant can.
        remedy: denied: what the analyst can do instead.
        drop: denied: columns of the result without which the clause has nothing to deny.
    """

    outcome: Outcome
    reason: str = ""
    grant: Grant | None = None
    remedy: str | None = None
    drop: tuple[str, ...] = ()

    @classmethod
    def allowed(cls) -> Self:
        return cls(Outcome.ALLOWED)

    @classmethod
    def not_concerned(cls) -> Self:
        return cls(Outcome.NOT_CONCERNED)

    @classmethod
    def denied(
        cls, reason: str, grant: Grant | None = None, *, remedy: str | None = None, drop: tuple[str, ...] = ()
    ) -> Self:
        return cls(Outcome.DENIED, reason, grant, remedy, drop)


@dataclass(frozen=True, slots=True)
class Context:
    """What a clause may know besides the disclosure.

    Args:
        entry: the dataset whose policy speaks.
        spent: guesses about it that were spent on this UTC day, before this plan.
        guesses: guesses about it that the whole plan asks for.

    Units: `now` is in seconds since 1970 UTC.
    """

    entry: DatasetEntry
    agreement: Agreement
    plan: PlacedPlan
    now: int
    spent: int = 0
    guesses: int = 0


class Clause(ABC):
    """One clause of a policy. Built without arguments it grants nothing: what is not said is denied.

    `word` names it in policies and refusals, `example` shows it in hints, `subjects` are the kinds of
    disclosure that it, and no other clause, decides on.
    """

    word: ClassVar[str]
    example: ClassVar[str]
    subjects: ClassVar[frozenset[Subject]] = frozenset()

    @classmethod
    def owns(cls, name: str) -> bool:
        """Whether a clause written `name:` is this one."""
        return name == cls.word

    @classmethod
    @abstractmethod
    def parse(cls, entries: Entries) -> Self:
        """The clause as a policy says it; no entries: the policy is silent.

        Raises:
            UsageError: a part is malformed, unknown or not built yet.
        """

    @abstractmethod
    def document(self) -> Grant:
        """The clause in normal form, under its name; empty if it says nothing."""

    @property
    def columns(self) -> Iterable[str]:
        """The columns of the dataset that the clause names; each must be there."""
        return ()

    def admits(self, _context: Context) -> Verdict:
        """Whether the plan may run at all; asked once for each dataset."""
        return Verdict.not_concerned()

    def judge(self, _disclosure: Disclosure, _context: Context) -> Verdict:
        """Whether the disclosure may be made; asked for `subjects` only."""
        return Verdict.not_concerned()


@dataclass(frozen=True, slots=True)
class Day:
    """A UTC day as policies write it: `2026-12-01`."""

    date: dt.date

    @classmethod
    def parse(cls, text: str, line: int, example: str) -> Self:
        try:
            day = dt.date.fromisoformat(text)
        except ValueError:
            day = None
        if day is None or day.isoformat() != text:
            raise refusal(f"'{text}' is no day", line, hint=f"write year-month-day, for example: {example}")
        return cls(day)

    @classmethod
    def of(cls, at: int) -> Self:
        """The day of a moment (seconds since 1970 UTC)."""
        return cls(dt.date.fromordinal(_EPOCH + at // DAY_S))

    @property
    def start(self) -> int:
        return (self.date.toordinal() - _EPOCH) * DAY_S

    @property
    def end(self) -> int:
        """The first second after the day."""
        return self.start + DAY_S

    def __str__(self) -> str:
        return self.date.isoformat()


_EPOCH = dt.date(1970, 1, 1).toordinal()


def not_built(what: str, line: int, instead: str) -> UsageError:
    """The refusal of what a policy cannot say yet, since nothing would keep it."""
    return refusal(
        f"{what} is not built yet, so nothing would keep it and no policy may say it",
        line,
        hint=instead,
        code="policy.not-built",
    )


def unknown(what: str, name: Text, known: Iterable[str]) -> UsageError:
    """The refusal of a word that no version knows, with the near ones."""
    all_of = tuple(known)
    near = difflib.get_close_matches(name.value, all_of, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(each) for each in near)}? " if near else ""
    return refusal(
        f"'{name.value}' is no {what}",
        name.line,
        hint=f"{hint}Known: {', '.join(all_of)}.",
        code="policy.unknown",
    )


def quoted(names: Iterable[str]) -> str:
    """`column 'a'` or `columns 'a', 'b'`, sorted."""
    all_of = sorted(names)
    return f"column{'s' * (len(all_of) != 1)} {listed(map(repr, all_of))}"


def listed(texts: Iterable[str]) -> str:
    """`a, b`; of many only the first: `a, b and 93 more`. `none` if there are none."""
    all_of = list(texts)
    if len(all_of) <= MAX_LISTED:
        return ", ".join(all_of) or "none"
    return f"{', '.join(all_of[:MAX_LISTED])} and {len(all_of) - MAX_LISTED} more"
