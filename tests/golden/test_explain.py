"""What `explain()` says of the three programs of the demo, and of a refused one."""

from collections.abc import Callable

import pytest

from xor.model.machine import Capacity, LinkSeen, MachineSeen
from xor.plan.conditions import Conditions, conditions
from xor.plan.explain import Explanation, explain
from xor.plan.predicates import Column, Compare, Comparison, literal
from xor.plan.relations import Filter, Relation
from xor.testing.three_banks import (
    agreement,
    both_directions,
    join,
    literal_program,
    one_direction,
    placed,
    scan,
    select,
)

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


def _measured() -> Conditions:
    """A slow line, one machine with little memory, another that runs `dh` only."""
    line = LinkSeen(peer="player-1", rtt_us=80_000, bytes_per_s=12_500_000)
    small = Capacity(memory_bytes=2**28, disk_bytes=2**36, cores=2, oprf=("dh", "vole"))
    old = Capacity(memory_bytes=2**33, disk_bytes=2**36, cores=8, oprf=("dh",))
    return conditions(
        [
            MachineSeen(player="player-0", capacity=small, links=(line,)),
            MachineSeen(player="player-1", capacity=old),
        ]
    )


def test_a_plan_under_measured_conditions_that_does_not_fit_is_as_reviewed(golden: Golden) -> None:
    known = _measured()
    explained = explain(placed(one_direction(), conditions=known), agreement(), conditions=known)
    golden("plan/explain_too_large.txt", explained.text)
    golden("plan/explain_too_large.html", explained._repr_html_().replace("><", ">\n<"))


def test_a_join_of_many_rows_runs_in_shards(golden: Golden) -> None:
    many = {name: {"rows": 10**7} for name in ("transactions_a", "accounts_c")}
    sides = scan("transactions_a", **many["transactions_a"]), scan("accounts_c", **many["accounts_c"])
    relation = select(join(*sides, ("ordering_account", "account")), ["amount_0", "country_1"])
    golden("plan/explain_shards.txt", explain(placed(relation), agreement()).text)


def test_a_matched_join_and_what_its_receiver_computes_is_as_reviewed(golden: Golden) -> None:
    both = join(scan("transactions_a"), scan("accounts_c"), ("ordering_account", "account"))
    large = Filter(both, Compare(Comparison.GT, Column("amount_0"), Column("balance_1")))
    relation = select(large, ["amount_0", "country_1"])
    explained = explain(placed(relation, permits=lambda _: True), agreement())
    golden("plan/explain_matched.txt", explained.text)
    golden("plan/explain_matched.html", explained._repr_html_().replace("><", ">\n<"))
