"""Every rule of the planner, before and after, and the fixed point of all of them."""

from collections.abc import Callable, Iterator

import pytest

from xor.plan.phrases import condition_text
from xor.plan.predicates import And, Column, Compare, Comparison, Predicate, literal
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.plan.rules import RULES, Rule, optimise
from xor.testing.samples import entry
from xor.testing.three_banks import both_directions, literal_program, one_direction

Golden = Callable[[str, str], None]

A = Scan(entry("a", {"id": "int64", "x": "int64", "s": "text(8)"}))
B = Scan(entry("b", {"ref": "int64", "y": "int64", "t": "text(8)"}, owner="bank-b"))


def _above(column: str, bound: int) -> Predicate:
    return Compare(Comparison.GT, Column(column), literal(bound))


def _same(left: str, right: str) -> Predicate:
    return Compare(Comparison.EQ, Column(left), Column(right))


def _join(kind: JoinKind = JoinKind.INNER, output: tuple[str, ...] | None = None) -> Join:
    return Join(A, B, (("id", "ref"),), kind, output)


def _chosen(source: Relation, **columns: str) -> Project:
    return Project(source, tuple(columns.items()))


_MIXED = And(And(_above("x", 1), _above("y", 2)), _same("s", "t"))

CASES: dict[str, list[Relation]] = {
    "merge_filters": [Filter(Filter(A, _above("x", 1)), _above("id", 2))],
    "push_filter_below_project": [
        Filter(_chosen(A, id="x", x="id"), _above("x", 1)),
        Filter(_chosen(A, one="x", other="x"), _same("one", "other")),
    ],
    "push_filter_below_concat": [Filter(Concat((A, A)), _above("x", 1))],
    "push_filter_below_join": [
        *(Filter(_join(kind), _MIXED) for kind in JoinKind if kind.keeps_right_columns),
        *(Filter(_join(kind), _above("x", 1)) for kind in (JoinKind.SEMI, JoinKind.ANTI)),
    ],
    "merge_projects": [_chosen(_chosen(A, p="id", q="x"), r="q", s="q", t="p")],
    "push_project_below_concat": [_chosen(Concat((A, A)), key="id")],
    "narrow_join_output": [
        _chosen(_join(), y="y", x="x"),
        _chosen(_join(JoinKind.OUTER), first="t", second="t"),
        _chosen(_join(output=("y",)), z="y"),
    ],
    "narrow_join_below_filter": [
        _chosen(Filter(_join(), _same("s", "t")), x="x"),
        _chosen(Filter(_join(output=("s", "t")), _same("s", "t")), s="s"),
    ],
    "prune_join_inputs": [
        _join(output=("x",)),
        _join(JoinKind.SEMI),
        _join(),
        _join(JoinKind.LEFT, ("t", "ref")),
    ],
    "drop_identity_project": [_chosen(A, id="id", x="x", s="s"), _chosen(A, x="x", id="id", s="s")],
}


def _tree(node: Relation, depth: int = 0) -> Iterator[str]:
    match node:
        case Scan(dataset):
            text = f"scan {dataset.name}"
        case Project(_, columns):
            text = f"project {', '.join(new if new == old else f'{old} as {new}' for new, old in columns)}"
        case Filter(_, predicate):
            text = f"filter {condition_text(predicate)}"
        case Join(keys=keys, kind=kind, output=output):
            on = ", ".join(f"{left} = {right}" for left, right in keys)
            text = f"{kind.value} join on {on} gives {'all' if output is None else ', '.join(output)}"
        case _:
            text = "concat"
    yield "    " * depth + text
    for each in node.inputs:
        yield from _tree(each, depth + 1)


def _shown(before: Relation, after: Relation) -> str:
    if after is before:
        return "\n".join([*_tree(before), "==> stays"])
    return "\n".join([*_tree(before), "==>", *_tree(after)])


def _applied(rule: Rule, case: Relation) -> Relation:
    after = rule(case)
    assert [(each.name, each.type, each.max_bytes, each.origins) for each in after.schema] == [
        (each.name, each.type, each.max_bytes, each.origins) for each in case.schema
    ]
    assert after.rows == case.rows
    return after


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_rewrites_as_reviewed(rule: Rule, golden: Golden) -> None:
    shown = [_shown(case, _applied(rule, case)) for case in CASES[rule.__name__]]
    golden(f"plan/{rule.__name__}.txt", "\n\n".join([f"{rule.__doc__}".splitlines()[0], *shown]) + "\n")


@pytest.mark.parametrize("program", [literal_program, one_direction, both_directions])
def test_all_rules_together_come_to_the_reviewed_end(program: Callable[[], Relation], golden: Golden) -> None:
    before = program()
    after = optimise(before)
    assert after.schema == before.schema
    assert optimise(after) is after
    golden(f"plan/optimised_{program.__name__}.txt", "\n".join(_tree(after)) + "\n")
