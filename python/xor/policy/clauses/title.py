"""`policy: accounts_c` — of which dataset the policy speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.policy.clause import Clause, Entries
from xor.policy.grant import Grant
from xor.policy.tree import refusal, text_of


@dataclass(frozen=True)
class TitleClause(Clause):
    """The name of the dataset. Every policy has one, so that none is signed for the wrong table."""

    word: ClassVar[str] = "policy"
    example: ClassVar[str] = "policy: accounts_c"

    dataset: str = ""

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        if not entries:
            raise refusal(
                "it does not name its dataset", None, hint=f"add: {cls.example}", code="policy.missing-clause"
            )
        return cls(text_of(entries[0][1], cls.word, cls.example))

    def document(self) -> Grant:
        return {self.word: self.dataset}
