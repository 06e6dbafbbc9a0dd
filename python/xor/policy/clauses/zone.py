"""`zone: premises` or `zone: clean room` — where rows of the dataset may exist in the clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from xor.errors import UsageError
from xor.model.disclosure import Disclosure, Subject
from xor.policy.clause import Clause, Context, Entries, Verdict, not_built, unknown
from xor.policy.grant import Grant
from xor.policy.tree import texts_of, words

PREMISES, CLEAN_ROOM = "premises", "clean room"


@dataclass(frozen=True)
class ZoneClause(Clause):
    """`premises` are always the owner's own, says the judge; a clean room is the one that the entry names."""

    word: ClassVar[str] = "zone"
    example: ClassVar[str] = "zone: premises"
    subjects: ClassVar[frozenset[Subject]] = frozenset({Subject.PLAINTEXT})

    zones: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        found: list[str] = []
        for _, node in entries:
            for each in texts_of(node, cls.word, cls.example):
                if each.value.startswith(f"{CLEAN_ROOM} attested"):
                    raise not_built(f"'{each.value}'", each.line, _ATTESTED)
                if each.value not in (PREMISES, CLEAN_ROOM):
                    raise unknown("zone", each, (PREMISES, CLEAN_ROOM))
                found.append(each.value)
        return cls(tuple(found))

    def document(self) -> Grant:
        return {self.word: list(self.zones)} if self.zones else {}

    def judge(self, disclosure: Disclosure, context: Context) -> Verdict:
        try:
            player = context.agreement.player(disclosure.to.name)
        except UsageError:
            return Verdict.denied(
                f"'{context.entry.name}' would be in the clear at {disclosure.to}, who is no player"
            )
        if player.zone in self.zones:
            return Verdict.allowed()
        return Verdict.denied(
            f"rows of '{context.entry.name}' would be in the clear at {disclosure.to} ({player.zone}); "
            f"clause 'zone' allows: {words(self.zones)}",
            {self.word: [player.zone]},
        )


_ATTESTED = (
    "write `zone: clean room`; it is a simulated one and needs `simulated clean room` in `protection`, "
    "with a date and a reason. Without that, nothing runs there."
)
