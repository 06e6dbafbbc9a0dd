"""`approve: automatic` — who says yes when the policy allows a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.policy.clause import Clause, Context, Entries, Verdict, not_built
from xor.policy.grant import Grant
from xor.policy.tree import Text

AUTOMATIC = "automatic"


@dataclass(frozen=True)
class ApproveClause(Clause):
    """`automatic`: the machine approves with its own key, naming owner and version of the policy."""

    word: ClassVar[str] = "approve"
    example: ClassVar[str] = "approve: automatic"

    is_automatic: bool = False

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        for _, node in entries:
            if not isinstance(node, Text) or node.value != AUTOMATIC:
                raise not_built(
                    "approval by persons",
                    node.line,
                    f"write `{cls.example}`, and keep `valid` short and `guesses` low; "
                    "a policy without 'approve' allows nothing.",
                )
        return cls(bool(entries))

    def document(self) -> Grant:
        return {self.word: AUTOMATIC} if self.is_automatic else {}

    def admits(self, context: Context) -> Verdict:
        if self.is_automatic:
            return Verdict.allowed()
        return Verdict.denied(
            f"nobody may approve plans for '{context.entry.name}'; the policy has no clause 'approve'",
            {self.word: AUTOMATIC},
        )
