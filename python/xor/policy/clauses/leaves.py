"""`leaves: [sealed rows]` — in which form anything of the dataset may leave its zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.model.disclosure import Disclosure, Subject
from xor.policy.clause import Clause, Context, Entries, Verdict, not_built, unknown
from xor.policy.grant import Grant
from xor.policy.tree import refusal, texts_of, words

SEALED_ROWS = "sealed rows"


@dataclass(frozen=True)
class LeavesClause(Clause):
    """`sealed rows`: ciphertext of all rows, also of those that nobody can ever open. Never plaintext."""

    word: ClassVar[str] = "leaves"
    example: ClassVar[str] = "leaves: [sealed rows]"
    subjects: ClassVar[frozenset[Subject]] = frozenset({Subject.LEAVES})

    forms: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        found: list[str] = []
        for _, node in entries:
            for each in texts_of(node, cls.word, cls.example):
                if each.value == "plaintext":
                    raise refusal("plaintext never leaves a zone", each.line, hint=f"write: {cls.example}")
                if each.value == "shares":
                    raise not_built("'shares' in 'leaves'", each.line, f"write: {cls.example}")
                if each.value != SEALED_ROWS:
                    raise unknown("form that may leave", each, (SEALED_ROWS,))
                found.append(each.value)
        return cls(tuple(found))

    def document(self) -> Grant:
        return {self.word: list(self.forms)} if self.forms else {}

    def judge(self, disclosure: Disclosure, context: Context) -> Verdict:
        if disclosure.form in self.forms:
            return Verdict.allowed()
        grant = {self.word: [disclosure.form]} if disclosure.form == SEALED_ROWS else None
        return Verdict.denied(
            f"'{context.entry.name}' would leave its zone as {disclosure.form}; "
            f"clause 'leaves' allows: {words(self.forms)}",
            grant,
        )
