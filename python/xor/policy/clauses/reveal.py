"""`reveal to fraud-desk: {rows: [account]}` — which columns may reach whom, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from xor.model.agreement import Agreement
from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.model.types import ColumnRef
from xor.plan.placed import PlacedPlan
from xor.policy.clause import Clause, Context, Entries, Verdict, listed, not_built, quoted, unknown
from xor.policy.grant import Grant
from xor.policy.tree import Node, refusal, table_of, texts_of

PREFIX = "reveal to "
ROWS, ALL_ROWS = "rows", "all rows"
_LATER = {
    "aggregates": "remove it: rows or nothing can be revealed; a column not under 'rows' is not revealed.",
    "groups": "remove it: a group size cannot be kept where rows are revealed; grant no rows instead.",
}


@dataclass(frozen=True)
class Revealed:
    """Columns of rows that matched in a join, and columns of the whole table. None: not said."""

    rows: tuple[str, ...] | None = None
    all_rows: tuple[str, ...] | None = None

    def allowed(self, is_whole_table: bool) -> frozenset[str] | None:
        """The columns; whoever may see the whole table may see the rows that match."""
        parts = [self.all_rows] if is_whole_table else [self.rows, self.all_rows]
        said = [frozenset(each) for each in parts if each is not None]
        return frozenset().union(*said) if said else None


@dataclass(frozen=True)
class RevealClause(Clause):
    """Columns by analyst or player: `rows` of those rows that match in a join, `all rows` of the whole table.

    An empty list lets somebody learn that there are such rows, and no value. What a filter reads decides
    which rows appear, and what equals a revealed column by a join key is revealed: both must be named, under
    `all rows` where rows appear without a match: a filter tells of each row on which side of it it is.
    """

    word: ClassVar[str] = "reveal"
    example: ClassVar[str] = "reveal to fraud-desk: {rows: [account, amount]}"
    subjects: ClassVar[frozenset[Subject]] = frozenset({Subject.ROWS, Subject.CONDITION})

    recipients: Mapping[str, Revealed] = field(default_factory=dict)

    @classmethod
    def owns(cls, name: str) -> bool:
        return name.partition(" ")[0] == cls.word

    @classmethod
    def parse(cls, entries: Entries) -> Self:
        found: dict[str, Revealed] = {}
        for name, node in entries:
            recipient = name.value.removeprefix(PREFIX).strip()
            if not name.value.startswith(PREFIX) or not recipient or recipient in found:
                raise refusal(
                    "'reveal' must name who learns it, once", name.line, hint=f"for example: {cls.example}"
                )
            found[recipient] = _parse_revealed(name.value, node)
        return cls(found)

    def document(self) -> Grant:
        parts = {f"{PREFIX}{name}": (each.rows, each.all_rows) for name, each in self.recipients.items()}
        return {
            name: {
                word: list(columns)
                for word, columns in zip((ROWS, ALL_ROWS), said, strict=True)
                if columns is not None
            }
            for name, said in parts.items()
        }

    @property
    def columns(self) -> Iterable[str]:
        return sorted({name for each in self.recipients.values() for name in each.allowed(False) or ()})

    def judge(self, disclosure: Disclosure, context: Context) -> Verdict:
        recipient = disclosure.to
        if not _is_member(recipient, context.agreement):
            return Verdict.denied(
                f"rows of '{context.entry.name}' would be revealed to {recipient}; only analysts and players "
                "can be named"
            )
        is_whole_table = not disclosure.is_matched
        allowed = self.recipients.get(recipient.name, Revealed()).allowed(is_whole_table)
        missing = disclosure.columns - (allowed or frozenset())
        if allowed is not None and not missing:
            return Verdict.allowed()
        word = ALL_ROWS if is_whole_table else ROWS
        return Verdict.denied(
            f"{_told(disclosure, missing, is_whole_table)}; "
            f"clause 'reveal' allows {word}: {listed(sorted(allowed or ()))}",
            {f"{PREFIX}{recipient.name}": {word: sorted(missing)}},
            drop=_outputs(disclosure, missing, context.plan),
        )


def _parse_revealed(name: str, node: Node) -> Revealed:
    said: dict[str, tuple[str, ...]] = {}
    for part, value in table_of(node, name, RevealClause.example):
        if part.value in _LATER:
            raise not_built(f"'{part.value}' in '{name}'", part.line, _LATER[part.value])
        if part.value not in (ROWS, ALL_ROWS):
            raise unknown(f"part of '{name}'", part, (ROWS, ALL_ROWS))
        said[part.value] = tuple(each.value for each in texts_of(value, part.value, RevealClause.example))
    return Revealed(said.get(ROWS), said.get(ALL_ROWS))


def _told(disclosure: Disclosure, missing: frozenset[str], is_whole_table: bool) -> str:
    dataset, recipient = disclosure.dataset, disclosure.to
    if disclosure.subject is Subject.CONDITION:
        which = "which of all rows" if is_whole_table else "which rows"
        return f"{which} are revealed to {recipient} would depend on {quoted(missing)} of '{dataset}'"
    if not missing:
        which = "how many rows there are" if is_whole_table else "which rows match"
        return f"{which} in '{dataset}' would be revealed to {recipient}"
    how = "for all rows, matched or not," if is_whole_table else "as rows"
    return f"{quoted(missing)} of '{dataset}' would be revealed {how} to {recipient}"


def _is_member(party: Party, agreement: Agreement) -> bool:
    """Whether the name of a party stands for it and for nobody else: a grant is to a name, not to a role."""
    named = {
        Role.ANALYST: {each.name for each in agreement.analysts},
        Role.PLAYER: {each.name for each in agreement.players},
    }
    return [role for role, names in named.items() if party.name in names] == [party.role]


def _outputs(disclosure: Disclosure, columns: frozenset[str], plan: PlacedPlan) -> tuple[str, ...]:
    """The columns of the result that show them; none if nothing else would be left, or it would not help."""
    if disclosure.subject is not Subject.ROWS or disclosure.to.role is not Role.ANALYST:
        return ()
    shown = {
        name for each in columns for name in plan.outputs_of.get(ColumnRef(disclosure.dataset, each), ())
    }
    names = plan.root.schema.names
    return tuple(each for each in names if each in shown) if len(shown) < len(names) else ()
