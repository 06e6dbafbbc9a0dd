"""From a policy's text to its clauses, and from a signed policy to the one that is in force for a dataset."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TypeVar

from xor.errors import UsageError
from xor.model.dataset import DatasetEntry
from xor.policy.clause import Clause, not_built
from xor.policy.clauses import CLAUSES, NOT_BUILT
from xor.policy.clauses.title import TitleClause
from xor.policy.document import Policy
from xor.policy.grant import Grant, merge, merge_all, policy_text
from xor.policy.tree import Text, read_tree, refusal

C = TypeVar("C", bound=Clause)


@dataclass(frozen=True)
class Clauses:
    """What a policy says: one clause of each kind, silent where the policy is."""

    all: tuple[Clause, ...]

    def of(self, cls: type[C]) -> C:
        return next(each for each in self.all if isinstance(each, cls))

    @property
    def dataset(self) -> str:
        return self.of(TitleClause).dataset

    def document(self) -> Grant:
        """The normal form: two policies that say the same have the same."""
        return merge_all(each.document() for each in self.all)


@dataclass(frozen=True)
class ParsedPolicy:
    """A verified policy that belongs to a verified catalogue entry. What the judge reads."""

    policy: Policy
    entry: DatasetEntry
    clauses: Clauses


def parse(text: str) -> Clauses:
    """The clauses of a policy's text.

    Raises:
        UsageError: it is not strict YAML, a clause is unknown, malformed or not built yet. The message names
            line and clause, the hint says what to write instead.
    """
    pairs = read_tree(text).pairs
    for name, _ in pairs:
        _check_name(name)
    return Clauses(
        tuple(cls.parse(tuple(pair for pair in pairs if cls.owns(pair[0].value))) for cls in CLAUSES)
    )


def in_force(policy: Policy, entry: DatasetEntry) -> ParsedPolicy:
    """The policy, if it is one for this dataset: same network, owner and name, and only columns that exist.

    Raises:
        UsageError: it is not, or its text cannot be read.
    """
    if (policy.network, policy.owner, policy.dataset) != (entry.network, entry.owner, entry.name):
        raise UsageError(
            f"a policy of {policy.owner} for '{policy.dataset}' in network '{policy.network}' is not one "
            f"for '{entry.name}' of {entry.owner} in network '{entry.network}'",
            code="policy.other-dataset",
            hint="only the owner that registered the dataset can sign its policy.",
        )
    clauses = parse(policy.text)
    check_fits(clauses, entry.name, tuple(column.name for column in entry.columns))
    return ParsedPolicy(policy, entry, clauses)


def check_fits(clauses: Clauses, dataset: str, columns: tuple[str, ...] | None) -> None:
    """Raises UsageError unless the clauses speak of `dataset` and name only `columns` of it (None: any)."""
    if clauses.dataset != dataset:
        raise UsageError(
            f"the policy speaks of '{clauses.dataset}', not of '{dataset}'",
            code="policy.other-dataset",
            hint=f"write: policy: {dataset}",
        )
    for clause in clauses.all if columns is not None else ():
        for name in clause.columns:
            if name not in (columns or ()):
                near = difflib.get_close_matches(name, columns or (), n=2, cutoff=0.6)
                hint = f"did you mean {' or '.join(repr(each) for each in near)}? " if near else ""
                raise UsageError(
                    f"clause '{clause.word}' names the column '{name}', which '{dataset}' does not have",
                    code="policy.unknown-column",
                    hint=f"{hint}Columns: {', '.join(columns or ())}.",
                )


def with_grant(text: str, grant: str) -> str:
    """The policy's text with a suggested grant merged in, in normal form (comments are lost), for review.

    Raises:
        UsageError: one of them cannot be read.
    """
    clauses = parse(text)
    title = f"policy: {clauses.dataset}\nvalid: 1970-01-01 to 1970-01-01\n"
    granted = parse(title + grant).document()
    base = clauses.document()
    return policy_text(
        merge(base, {key: value for key, value in granted.items() if key not in ("policy", "valid")})
    )


def _check_name(name: Text) -> None:
    if any(cls.owns(name.value) for cls in CLAUSES):
        return
    if name.value in NOT_BUILT:
        raise not_built(f"clause '{name.value}'", name.line, NOT_BUILT[name.value])
    known = [cls.word for cls in CLAUSES]
    near = difflib.get_close_matches(name.value.partition(" ")[0], known, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(each) for each in near)}? " if near else ""
    raise refusal(
        f"'{name.value}' is no clause",
        name.line,
        hint=f"{hint}Clauses: {', '.join(known)}.",
        code="policy.unknown",
    )
