"""`valid: 2026-12-01 to 2027-11-30` — on which days the policy allows anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.policy.clause import Clause, Context, Day, Entries, Verdict
from xor.policy.grant import Grant
from xor.policy.tree import refusal, text_of


@dataclass(frozen=True)
class ValidClause(Clause):
    """From the first second of the first day to the last second of the last day, UTC."""

    word: ClassVar[str] = "valid"
    example: ClassVar[str] = "valid: 2026-12-01 to 2027-11-30"

    first: Day
    last: Day

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        if not entries:
            raise refusal(
                "it does not say when it is valid",
                None,
                hint=f"add: {cls.example}",
                code="policy.missing-clause",
            )
        node = entries[0][1]
        first, to, last = text_of(node, cls.word, cls.example).partition(" to ")
        if not to:
            raise refusal("'valid' must name two days", node.line, hint=f"for example: {cls.example}")
        clause = cls(Day.parse(first, node.line, "2026-12-01"), Day.parse(last, node.line, "2027-11-30"))
        if clause.last.date < clause.first.date:
            raise refusal("'valid' ends before it begins", node.line, hint=f"for example: {cls.example}")
        return clause

    def document(self) -> Grant:
        return {self.word: f"{self.first} to {self.last}"}

    def admits(self, context: Context) -> Verdict:
        if self.first.start <= context.now < self.last.end:
            return Verdict.allowed()
        return Verdict.denied(
            f"the policy of '{context.entry.name}' is valid from {self.first} to {self.last} (UTC days), "
            f"and today is {Day.of(context.now)}",
            remedy=f"ask {context.entry.owner} for a policy that is valid now",
        )
