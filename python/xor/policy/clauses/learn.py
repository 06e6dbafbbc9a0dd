"""`learn: {players: padded sizes}` — what a protocol itself may tell, beyond the rows that are revealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.policy.clause import Clause, Context, Entries, Verdict, not_built, unknown
from xor.policy.grant import Grant
from xor.policy.tree import table_of, texts_of, words

PLAYERS, SERVICE = "players", "service"
LEAKAGES = (Subject.SIZES.value, Subject.GROUPING.value, Subject.DURATIONS.value)
_LATER = ("join size", "multiplicities")


@dataclass(frozen=True)
class LearnClause(Clause):
    """Leakages by who learns them: all `players`, the `service`, or an analyst by name."""

    word: ClassVar[str] = "learn"
    example: ClassVar[str] = (
        "learn: {players: padded sizes, service: padded sizes, fraud-desk: [padded sizes, grouping by key]}"
    )
    subjects: ClassVar[frozenset[Subject]] = frozenset({Subject.SIZES, Subject.GROUPING, Subject.DURATIONS})

    leakages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        found: dict[str, tuple[str, ...]] = {}
        for _, node in entries:
            for name, said in table_of(node, cls.word, cls.example):
                leakages = texts_of(said, f"learn: {name.value}", cls.example)
                for each in leakages:
                    if each.value in _LATER:
                        raise not_built(
                            f"'{each.value}' in 'learn'", each.line, "remove it: nobody learns it."
                        )
                    if each.value not in LEAKAGES:
                        raise unknown("leakage", each, LEAKAGES)
                found[name.value] = tuple(each.value for each in leakages)
        return cls(found)

    def document(self) -> Grant:
        return (
            {self.word: {name: list(each) for name, each in self.leakages.items()}} if self.leakages else {}
        )

    def judge(self, disclosure: Disclosure, context: Context) -> Verdict:
        leakage = disclosure.subject.value
        name = _name_of(disclosure.to)
        allowed = self.leakages.get(name, ()) if name else ()
        if leakage in allowed:
            return Verdict.allowed()
        return Verdict.denied(
            f"{disclosure.to} would learn of '{context.entry.name}': {_in_words(disclosure)}; "
            f"clause 'learn' allows: {words(allowed)}",
            {self.word: {name: [leakage]}} if name else None,
        )


def _name_of(party: Party) -> str | None:
    """The word that stands for the party in the clause; None where no word can."""
    match party.role:
        case Role.PLAYER:
            return PLAYERS
        case Role.SERVICE:
            return SERVICE
        case Role.ANALYST:
            return party.name if party.name not in (PLAYERS, SERVICE) else None


def _in_words(disclosure: Disclosure) -> str:
    if disclosure.subject is Subject.GROUPING:
        return "which of the revealed rows share a key (grouping by key)"
    if disclosure.subject is Subject.DURATIONS:
        return "how long later steps take, which depends on what matched (durations)"
    bound = f" (at most {disclosure.amount} rows)" if disclosure.amount else ""
    return f"padded sizes{bound}"
