"""Which OPRF a join gets: the quicker one under what is known of lines and machines, and what may run."""

from dataclasses import replace

import pytest

from xor.errors import PlanError
from xor.model.machine import Capacity, LinkSeen, MachineSeen
from xor.plan.choice import candidates, quickest
from xor.plan.conditions import ASSUMED, ASSUMED_LINE, Conditions, Line, conditions
from xor.plan.oprf.exchange import KNOWN, Oprf
from xor.plan.placed import PlacedPlan, Sealed
from xor.plan.relations import Concat, Join, Relation, Scan
from xor.testing.samples import entry, placed
from xor.testing.three_banks import join

BOTH = Conditions(back_ends=KNOWN)
SLOW = Line(rtt_s=0.001, bytes_per_s=12_500.0, is_measured=True)
FAR = Line(rtt_s=2.0, bytes_per_s=125e6, is_measured=True)


def _join(left: int, right: int) -> Join:
    sides = (
        Scan(entry("a", {"id": "int64"}, rows=left)),
        Scan(entry("b", {"ref": "int64"}, player="player-1", rows=right)),
    )
    return join(*sides, ("id", "ref"))


def _oprf(plan: PlacedPlan) -> list[Oprf]:
    return [each.oprf for each in plan.placements if isinstance(each, Sealed)]


def _chosen(left: int, right: int, known: Conditions = BOTH) -> Oprf:
    (oprf,) = _oprf(placed(_join(left, right), conditions=known))
    return oprf


def _with(line: Line) -> Conditions:
    return replace(BOTH, lines={frozenset(("player-0", "player-1")): line})


def _machine(player: str, *oprf: str, links: tuple[LinkSeen, ...] = ()) -> MachineSeen:
    return MachineSeen(
        player=player,
        capacity=Capacity(memory_bytes=2**33, disk_bytes=2**36, cores=2, oprf=oprf),
        links=links,
    )


def test_few_rows_take_dh_and_many_take_vole() -> None:
    assert _chosen(50, 50) == "dh"
    assert _chosen(10**6, 10**6) == "vole"


def test_each_join_of_a_plan_has_its_own_back_end() -> None:
    relation: Relation = Concat((_join(20, 20), _join(10**6, 10**6)))
    small = (
        Scan(entry("c", {"id": "int64"}, rows=20)),
        Scan(entry("d", {"ref": "int64"}, player="player-1", rows=20)),
    )
    relation = Concat((join(*small, ("id", "ref")), _join(10**6, 10**6)))
    assert _oprf(placed(relation, conditions=BOTH)) == ["dh", "vole"]


def test_a_slow_line_prefers_fewer_bytes_and_a_far_one_fewer_rounds() -> None:
    rows = 3000
    assert _chosen(rows, rows) == "vole"
    assert _chosen(rows, rows, _with(SLOW)) == "dh"
    assert _chosen(rows, rows, _with(FAR)) == "dh"
    assert _chosen(10**6, 10**6, _with(SLOW)) == "vole"


def test_what_a_machine_does_not_run_is_not_asked_of_it() -> None:
    machines = [_machine("player-0", "dh", "vole", "later"), _machine("player-1", "dh")]
    known = replace(conditions(machines), back_ends=KNOWN)
    assert _chosen(10**5, 10**5, known) == "dh"
    found = {
        each.oprf: each.refusal
        for each in candidates(_join(9, 9), Sealed(("player-0", "player-1"), 0, "dh"), known)
    }
    assert found == {"dh": "", "vole": "is not run by player-1"}


def test_rows_beyond_dh_take_vole_and_are_refused_without_it() -> None:
    assert _chosen(2**22, 1000) == "vole"
    with pytest.raises(PlanError) as caught:
        placed(_join(2**22, 1000), conditions=Conditions(back_ends=("dh",)))
    assert caught.value.code == "plan.too-large"


def test_where_none_is_known_to_run_the_one_for_most_rows_is_named() -> None:
    known = replace(conditions([_machine("player-0", "later")]), back_ends=KNOWN)
    found = candidates(_join(9, 9), Sealed(("player-0", "player-1"), 0, "dh"), known)
    assert quickest(found, KNOWN) == "vole"


def test_a_plan_that_is_not_permitted_gives_way_to_one_that_is() -> None:
    relation = _join(10**5, 10**5)
    asked: list[list[Oprf]] = []

    def permits(plan: PlacedPlan) -> bool:
        asked.append(_oprf(plan))
        return _oprf(plan) == ["dh"]

    plan = placed(relation, conditions=BOTH, permits=permits)
    assert _oprf(plan) == ["dh"]
    assert asked == [["vole"], ["dh"]]
    # Where nothing is permitted, the refusal is about the plan that was meant.
    assert _oprf(placed(relation, conditions=BOTH, permits=lambda _plan: False)) == ["vole"]


def test_of_a_line_the_slower_word_counts_and_strangers_have_none() -> None:
    def link(peer: str, rtt_us: int, rate: int) -> LinkSeen:
        return LinkSeen(peer=peer, rtt_us=rtt_us, bytes_per_s=rate)

    known = conditions(
        [
            _machine("player-0", "dh", links=(link("player-1", 900, 5_000), link("stranger", 1, 1))),
            _machine("player-1", "dh", links=(link("player-0", 1100, 9_000), link("player-1", 1, 1))),
        ]
    )
    assert known.line("player-1", "player-0") == Line(0.0011, 5_000.0, is_measured=True)
    assert known.line("player-0", "stranger") == ASSUMED_LINE
    assert set(known.lines) == {frozenset(("player-0", "player-1"))}
    assert ASSUMED.line("player-0", "player-1") == ASSUMED_LINE
