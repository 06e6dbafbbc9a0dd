"""Disclosures and conditions in words that an owner, an analyst and a lawyer read alike."""

from collections.abc import Sequence

from xor.model.disclosure import Disclosure, Role, Subject
from xor.plan.disclosures import IMPLIED, OPENED_BY
from xor.plan.predicates import (
    And,
    Column,
    Compare,
    IsIn,
    IsNull,
    IsTrue,
    Not,
    Operand,
    Or,
    Predicate,
    conjuncts,
    disjuncts,
)


def sentence(alike: Sequence[Disclosure]) -> str:
    """One sentence for disclosures that differ in their datasets only."""
    first = alike[0]
    datasets = ", ".join(dict.fromkeys(each.dataset for each in alike))
    columns = ", ".join(f"{first.dataset}.{column}" for column in sorted(first.columns))
    match first.subject:
        case Subject.PLAINTEXT:
            return f"computes on {datasets} in plaintext, in its {first.form}"
        case Subject.PROTECTION if first.form == "malicious":
            return f"is protected against a cheating partner (malicious) for {datasets}"
        case Subject.PROTECTION:
            return f"has NO HARDWARE PROTECTION for {datasets}: {first.form}"
        case Subject.LEAVES:
            can_open = first.to.role is Role.PLAYER
            opens = "opens those whose key it brings itself" if can_open else "cannot open them"
            return f"stores {first.form} of {datasets}, and {opens}"
        case Subject.KEY:
            return _comparison(first)
        case Subject.GUESSES:
            return f"may test up to {first.amount:,} keys against {datasets}"
        case Subject.ROWS | Subject.CONDITION if first.form == IMPLIED:
            rows = " rows chosen by" if first.subject is Subject.CONDITION else ""
            return f"may work out{rows}, since a dataset is read twice: {columns}"
        case Subject.ROWS if first.columns:
            return f"sees {first.form}: {columns}"
        case Subject.ROWS:
            how_many = (
                "how many rows are in" if first.form == "all rows" else "that there are matching rows of"
            )
            return f"sees {how_many} {datasets}, and no column"
        case Subject.CONDITION:
            return f"sees rows chosen by {columns}"
        case Subject.SIZES | Subject.GROUPING | Subject.DURATIONS:
            return _leakage(first, datasets)


def _leakage(each: Disclosure, datasets: str) -> str:
    match each.subject:
        case Subject.SIZES:
            return f"sees a padded size of {each.amount:,} rows for {datasets}"
        case Subject.GROUPING:
            return f"sees which rows share a key: {datasets}"
        case _:
            return f"sees how long later steps take, which depends on what matched: {datasets}"


def _comparison(each: Disclosure) -> str:
    pairs = ", ".join(f"{each.dataset}.{column} with {other}" for column, other in each.against)
    alongside = f", alongside {', '.join(sorted(each.alongside))}" if each.alongside else ""
    is_private = each.where.startswith(("sealed join", "matched join"))
    is_blind = is_private and not each.where.endswith(f"{OPENED_BY}{each.to.name}")
    how = "blindly compares" if is_blind else "compares"
    return f"{how} {pairs}{alongside}"


def condition_text(predicate: Predicate) -> str:
    """A predicate as text. Constants are the analyst's words, not data."""
    match predicate:
        case And():
            return " and ".join(_nested(each) for each in conjuncts(predicate))
        case Or():
            return " or ".join(_nested(each) for each in disjuncts(predicate))
        case Not(operand):
            return f"not {_nested(operand)}"
        case Compare(operator, left, right):
            return f"{_operand(left)} {operator.value} {_operand(right)}"
        case IsIn(operand, values):
            return f"{operand.name} in ({', '.join(_operand(each) for each in values)})"
        case IsNull(operand):
            return f"{operand.name} is NULL"
        case IsTrue(operand):
            return operand.name
        case _:
            raise TypeError(type(predicate).__name__)


def _nested(predicate: Predicate) -> str:
    text = condition_text(predicate)
    return f"({text})" if isinstance(predicate, And | Or) else text


def _operand(operand: Operand) -> str:
    if isinstance(operand, Column):
        return operand.name
    return repr(operand.value) if isinstance(operand.value, str) else str(operand.value)


def printable(text: str) -> str:
    """The text without line breaks, terminal controls and invisible signs, which could fake a statement."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def in_bytes(count: int) -> str:
    """Bytes as a person reads them."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: no more digits than an estimate is worth."""
    if seconds < 0.095:
        return "0.1 s" if seconds >= 0.05 else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 3 * 3600 else f"{seconds / 3600:,.1f} h"
