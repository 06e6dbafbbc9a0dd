"""What `explain()` says of the three programs of the demo, and of a refused one."""

from collections.abc import Callable

import pytest

from xor.plan.explain import Explanation, explain
from xor.plan.predicates import Column, Compare, Comparison, literal
from xor.plan.relations import Filter, Relation
from xor.testing.three_banks import agreement, both_directions, literal_program, one_direction, placed

Golden = Callable[[str, str], None]


def _explained(relation: Relation, *violations: str) -> Explanation:
    return explain(placed(relation), agreement(), violations)


def _filtered() -> Relation:
    source = one_direction()
    amount = source.schema["amount"].type
    return Filter(source, Compare(Comparison.GE, Column("amount"), literal(1000, amount)))


PROGRAMS = {
    "literal": literal_program,
    "selected": one_direction,
    "union": both_directions,
    "filtered": _filtered,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_statement_of_a_program_is_as_reviewed(name: str, golden: Golden) -> None:
    text = _explained(PROGRAMS[name]()).text
    assert max(len(line) for line in text.splitlines()) <= 110
    golden(f"plan/explain_{name}.txt", text)


def test_violations_are_part_of_the_statement(golden: Golden) -> None:
    violation = "bank-c: step 8 would reveal accounts_c.account to fraud-desk; clause 'reveal' allows no row"
    golden("plan/explain_refused.txt", _explained(one_direction(), violation).text)


def test_the_picture_for_a_notebook_is_as_reviewed(golden: Golden) -> None:
    golden("plan/explain_selected.html", _explained(one_direction())._repr_html_().replace("><", ">\n<"))
