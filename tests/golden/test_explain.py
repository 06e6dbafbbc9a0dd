"""What `explain()` says of the three programs of the demo, and of a refused one."""

from collections.abc import Callable

import pytest

from xor.plan.explain import Explanation, explain
from xor.plan.predicates import Column, Compare, Comparison, literal
from xor.plan.relations import Filter, Relation
from xor.testing.samples import (
    literal_program,
    placed,
    selected_program,
    three_banks,
    union_program,
)

Golden = Callable[[str, str], None]


def _explained(relation: Relation, *violations: str) -> Explanation:
    return explain(placed(relation), three_banks(), violations)


def _filtered() -> Relation:
    source = selected_program()
    amount = source.schema["amount"].type
    return Filter(source, Compare(Comparison.GE, Column("amount"), literal(1000, amount)))


PROGRAMS = {
    "literal": literal_program,
    "selected": selected_program,
    "union": union_program,
    "filtered": _filtered,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_statement_of_a_program_is_as_reviewed(name: str, golden: Golden) -> None:
    text = _explained(PROGRAMS[name]()).text
    assert max(len(line) for line in text.splitlines()) <= 110
    golden(f"plan/explain_{name}.txt", text)


def test_violations_are_part_of_the_statement(golden: Golden) -> None:
    violation = "bank-c: step 8 would reveal accounts_c.account to fraud-desk; clause 'reveal' allows no row"
    golden("plan/explain_refused.txt", _explained(selected_program(), violation).text)


def test_the_picture_for_a_notebook_is_as_reviewed(golden: Golden) -> None:
    golden("plan/explain_selected.html", _explained(selected_program())._repr_html_().replace("><", ">\n<"))
