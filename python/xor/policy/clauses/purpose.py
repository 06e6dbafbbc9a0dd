"""`purpose: Find fraud across banks` — shown to people, decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.policy.clause import Clause, Entries
from xor.policy.grant import Grant
from xor.policy.tree import text_of


@dataclass(frozen=True)
class PurposeClause(Clause):
    """Why the owner takes part, in its own words."""

    word: ClassVar[str] = "purpose"
    example: ClassVar[str] = "purpose: Find fraud across banks A, B and C"

    text: str = ""

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        return cls(text_of(entries[0][1], cls.word, cls.example)) if entries else cls()

    def document(self) -> Grant:
        return {self.word: self.text} if self.text else {}
