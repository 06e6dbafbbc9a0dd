"""`join: {account: [transactions_a.ordering_account], guesses: 5000000 per UTC day}` — what may be a key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from xor.model.disclosure import Disclosure, Subject
from xor.policy.clause import Clause, Context, Entries, Verdict, listed, not_built
from xor.policy.grant import Grant
from xor.policy.tree import Node, refusal, table_of, text_of, texts_of

ALONGSIDE, GUESSES = "alongside", "guesses"
RESERVED = frozenset({ALONGSIDE, GUESSES, "fuzzy", "exact"})
"""Parts of the clause; a column of such a name cannot be granted as a key."""
ANY_COLUMN = "any column of "
ANY_DATASET = "any dataset"
_GUESSES = re.compile(r"([0-9]{1,15}) per UTC day")


@dataclass(frozen=True)
class JoinClause(Clause):
    """Keys by column, other datasets that may flow in, and how many keys a day a partner may try.

    A partner is `dataset.column`, `any column of DATASET` or `any column of any dataset`, which does not
    mean the dataset itself; in `alongside` a dataset or `any dataset`.
    """

    word: ClassVar[str] = "join"
    example: ClassVar[str] = (
        "join: {account: [transactions_a.ordering_account], alongside: [accounts_b], "
        "guesses: 5000000 per UTC day}"
    )
    subjects: ClassVar[frozenset[Subject]] = frozenset({Subject.KEY, Subject.GUESSES})

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alongside: tuple[str, ...] = ()
    guesses: int = 0

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        keys: dict[str, tuple[str, ...]] = {}
        alongside: tuple[str, ...] = ()
        guesses = 0
        for _, node in entries:
            for name, said in table_of(node, cls.word, cls.example):
                match name.value:
                    case "alongside":
                        alongside = tuple(each.value for each in texts_of(said, ALONGSIDE, cls.example))
                    case "guesses":
                        guesses = _parse_guesses(said)
                    case "fuzzy" | "exact":
                        raise not_built(f"'{name.value}' in 'join'", name.line, "remove it: joins are exact.")
                    case column:
                        keys[column] = tuple(each.value for each in texts_of(said, column, cls.example))
        return cls(keys, alongside, guesses)

    def document(self) -> Grant:
        parts: dict[str, object] = {column: list(partners) for column, partners in self.keys.items()}
        if self.alongside:
            parts[ALONGSIDE] = list(self.alongside)
        if self.guesses:
            parts[GUESSES] = f"{self.guesses} per UTC day"
        return {self.word: parts} if parts else {}

    @property
    def columns(self) -> Iterable[str]:
        return self.keys

    def judge(self, disclosure: Disclosure, context: Context) -> Verdict:
        if disclosure.subject is Subject.GUESSES:
            return self._judge_guesses(disclosure, context)
        pairs = [pair for pair in disclosure.against if not self._allows(*pair, context.entry.name)]
        others = sorted(
            each for each in disclosure.alongside if not {each, ANY_DATASET} & set(self.alongside)
        )
        if disclosure.columns != {own for own, _ in disclosure.against} or not disclosure.against:
            return Verdict.denied(f"a key of '{context.entry.name}' would be compared with something unnamed")
        if not pairs and not others:
            return Verdict.allowed()
        grant = None if RESERVED & {own for own, _ in pairs} else _grant(pairs, others)
        return Verdict.denied(_reason(context.entry.name, pairs, others, self), grant)

    def _allows(self, column: str, partner: str, own: str) -> bool:
        dataset = partner.partition(".")[0]
        granted = self.keys.get(column, ())
        if dataset != own and f"{ANY_COLUMN}{ANY_DATASET}" in granted:
            return True
        return partner in granted or f"{ANY_COLUMN}{dataset}" in granted

    def _judge_guesses(self, disclosure: Disclosure, context: Context) -> Verdict:
        total = context.spent + context.guesses
        if total <= self.guesses:
            return Verdict.allowed()
        return Verdict.denied(
            f"{disclosure.to} could test {disclosure.amount} keys against '{context.entry.name}'; "
            f"this plan asks for {context.guesses} guesses, {context.spent} are spent today; "
            f"clause 'join' allows guesses: {self.guesses} per UTC day",
            {self.word: {GUESSES: f"{total} per UTC day"}},
            remedy="wait for the next UTC day" if 0 < context.guesses <= self.guesses else None,
        )


def _parse_guesses(node: Node) -> int:
    text = text_of(node, GUESSES, "5000000 per UTC day")
    match = _GUESSES.fullmatch(text)
    if not match:
        raise refusal(
            "'guesses' must be a number per UTC day", node.line, hint="for example: 5000000 per UTC day"
        )
    return int(match[1])


def _reason(dataset: str, pairs: list[tuple[str, str]], others: list[str], clause: JoinClause) -> str:
    told = []
    for own, partners in _by_column(pairs).items():
        told.append(
            f"column '{own}' of '{dataset}' would be compared with {listed(partners)}; "
            f"clause 'join' allows for it: {listed(clause.keys.get(own, ()))}"
        )
    if others:
        told.append(
            f"'{dataset}' would be joined alongside {listed(others)}; "
            f"clause 'join' allows alongside: {listed(clause.alongside)}"
        )
    return "; and ".join(told)


def _grant(pairs: list[tuple[str, str]], others: list[str]) -> Grant:
    return {JoinClause.word: _by_column(pairs) | ({ALONGSIDE: others} if others else {})}


def _by_column(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The partners of each column, in order."""
    found: dict[str, list[str]] = {}
    for own, partner in dict.fromkeys(pairs):
        found.setdefault(own, []).append(partner)
    return found
