"""The statement survives whatever names and constants an analyst or an owner chooses."""

import pytest

from xor.plan.explain import explain, in_bytes
from xor.plan.phrases import condition_text
from xor.plan.predicates import And, Column, Compare, Comparison, IsIn, IsNull, Not, Or, Predicate, literal
from xor.plan.relations import Filter, Project, Scan
from xor.testing.samples import entry, placed
from xor.testing.three_banks import agreement

HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[2J",
    "line\nbreak",
    "\"quoted\" & 'single'",
    "\u202egnp.exe",
    "x" * 250,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_neither_leave_their_line_nor_become_markup(name: str) -> None:
    source = Scan(entry("a", {name: "text(4)", "id": "int64"}))
    condition = Compare(Comparison.EQ, Column(name), literal(name))
    plan = placed(Project(Filter(source, condition), ((f"{name}2", name),)))
    shown = explain(plan, agreement(), [f"violation: {name}"])
    assert all(each.isprintable() and len(each) <= 110 for each in shown.text.splitlines())
    assert "<script" not in shown._repr_html_()
    assert "\x1b" not in shown._repr_html_()
    assert "\u202e" not in shown._repr_html_()


def test_printing_and_showing_give_the_same_text() -> None:
    shown = explain(placed(Scan(entry("a", {"id": "int64"}))), agreement())
    assert str(shown) == shown.text == repr(shown)


X, Y = Compare(Comparison.GT, Column("x"), literal(1)), IsNull(Column("y"))


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (And(X, Or(X, Y)), "x > 1 and (x > 1 or y is NULL)"),
        (Not(And(X, Y)), "not (x > 1 and y is NULL)"),
        (Not(Y), "not y is NULL"),
        (IsIn(Column("s"), (literal("a"), literal("it's"))), "s in ('a', \"it's\")"),
        (IsIn(Column("s"), ()), "s in ()"),
    ],
)
def test_conditions_read_as_they_were_written(predicate: Predicate, text: str) -> None:
    assert condition_text(predicate) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (5 * 2**30, "5.0 GiB")],
)
def test_bytes_are_readable(count: int, text: str) -> None:
    assert in_bytes(count) == text
