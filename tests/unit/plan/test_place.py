"""Where steps go, and what is refused by name with what would work instead."""

import pytest

from xor.errors import PlanError
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.place import place
from xor.plan.placed import Opened, PlacedPlan, Plaintext, Sealed
from xor.plan.predicates import And, Column, Compare, Comparison, IsNull, literal
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.testing.samples import entry, placed
from xor.testing.three_banks import join, literal_program

HERE = Scan(entry("here", {"id": "int64", "x": "int64"}, rows=100))
ALSO_HERE = Scan(entry("also_here", {"id": "int64", "z": "int64"}, rows=100))
THERE = Scan(entry("there", {"id": "int64", "y": "int64"}, player="player-1", rows=1000))
THIRD = Scan(entry("third", {"id": "int64"}, player="player-2", rows=10))


def _join(kind: JoinKind = JoinKind.INNER, left: Relation = HERE, right: Relation = THERE) -> Join:
    return join(left, right, ("id", "id"), kind=kind)


def _sealed(plan: PlacedPlan) -> Sealed:
    (found,) = [each for each in plan.placements if isinstance(each, Sealed)]
    return found


def _refusal(relation: Relation) -> PlanError:
    with pytest.raises(PlanError) as error:
        placed(relation)
    assert error.value.hint
    return error.value


def _above(column: str) -> Compare:
    return Compare(Comparison.GT, Column(column), literal(1))


@pytest.mark.parametrize("kind", JoinKind)
def test_everything_at_one_player_stays_in_plaintext_there(kind: JoinKind) -> None:
    plan = placed(Concat((Filter(_join(kind, HERE, ALSO_HERE), _above("x_0")),) * 2))
    assert set(plan.placements) == {Plaintext("player-0")}
    assert [part.players for part in plan.parts] == [("player-0",)]


@pytest.mark.parametrize(
    ("kind", "opener"),
    [
        (JoinKind.INNER, 0),
        (JoinKind.OUTER, 0),
        (JoinKind.LEFT, 0),
        (JoinKind.RIGHT, 1),
        (JoinKind.SEMI, 1),
    ],
)
def test_tables_of_two_players_meet_in_a_sealed_join(kind: JoinKind, opener: int) -> None:
    plan = placed(_join(kind))
    assert _sealed(plan) == Sealed(("player-0", "player-1"), opener, "dh")
    assert [part.players for part in plan.parts] == [("player-0", "player-1")]


def test_the_smaller_side_opens_wherever_it_stands() -> None:
    assert _sealed(placed(_join(JoinKind.INNER, THERE, HERE))) == Sealed(("player-1", "player-0"), 1, "dh")


def test_names_and_order_are_applied_after_opening() -> None:
    plan = placed(Project(_join(), (("b", "y_1"), ("a", "x_0"))))
    assert plan.placements[-1] == Opened()
    assert plan.root.schema.names == ("b", "a")


def test_a_choice_of_columns_is_made_before_sealing() -> None:
    plan = placed(Project(_join(), (("y_1", "y_1"), ("x_0", "x_0"))))
    assert isinstance(plan.placements[-1], Sealed)
    assert [node.schema.names for node in plan.nodes] == [
        ("id", "x"),
        ("id_0", "x_0"),
        ("id", "y"),
        ("id_1", "y_1"),
        ("y_1", "x_0"),
    ]


def test_a_concat_of_different_players_is_put_together_after_opening() -> None:
    there = Project(THERE, (("id", "id"), ("x", "y")))
    plan = placed(Concat((HERE, there)))
    assert plan.placements[-1] == Opened()
    assert [part.players for part in plan.parts] == [("player-0",), ("player-1",)]


def test_filters_reach_the_owner_on_either_side() -> None:
    plan = placed(Filter(_join(), And(_above("x_0"), _above("y_1"))))
    at = [
        placement
        for node, placement in zip(plan.nodes, plan.placements, strict=True)
        if isinstance(node, Filter)
    ]
    assert at == [Plaintext("player-0"), Plaintext("player-1")]


@pytest.mark.parametrize(
    ("relation", "code", "says"),
    [
        (_join(JoinKind.ANTI), "plan.not-built", "shared join"),
        (
            Filter(_join(), Compare(Comparison.LT, Column("x_0"), Column("y_1"))),
            "plan.not-built",
            "both players",
        ),
        (Filter(_join(JoinKind.LEFT), IsNull(Column("y_1"))), "plan.not-built", "without a match"),
        (Filter(_join(JoinKind.OUTER), _above("x_0")), "plan.not-built", "without a match"),
        (join(_join(), THIRD, ("id_0", "id")), "plan.not-built", "3 players"),
        (join(_join(), ALSO_HERE, ("id_0", "id")), "plan.not-built", "on top of the private join"),
        (join(Concat((_join(), _join())), HERE, ("id_0", "id")), "plan.not-built", "on top of"),
        (Project(_join(), ()), "plan.unsupported", "no column"),
        (Project(HERE, (("", "id"),)), "plan.unsupported", "empty"),
        (Project(HERE, (("é" * 600, "id"),)), "plan.unsupported", "longer"),
    ],
)
def test_what_cannot_run_is_refused_by_name_with_a_way_out(relation: Relation, code: str, says: str) -> None:
    error = _refusal(relation)
    assert error.code == code
    assert says in error.message


def test_a_table_beyond_the_limit_is_refused_with_the_hint_to_declare_unique_keys() -> None:
    wide = Scan(entry("wide", {"id": "int64"}, rows=2**15))
    high = Scan(entry("high", {"id": "int64"}, rows=2**14))
    error = _refusal(join(wide, high, ("id", "id")))
    assert error.code == "plan.too-large"
    assert "unique" in str(error.hint)
    unique = Scan(entry("high", {"id": "int64"}, rows=2**14, unique=[["id"]]))
    placed(join(wide, unique, ("id", "id")))


def test_exactly_the_limit_is_placed_and_one_row_more_is_not() -> None:
    def most(rows: int) -> Scan:
        return Scan(entry("most", {"id": "int64"}, rows=rows))

    def joined(rows: int) -> Relation:
        return _join(left=most(rows))

    only_dh = Conditions(back_ends=("dh",))
    cases = ((joined, 2**21, only_dh), (joined, 2**27, ASSUMED), (most, 2**27, ASSUMED))
    for place_it, limit, known in cases:
        placed(place_it(limit), conditions=known)
        with pytest.raises(PlanError) as caught:
            placed(place_it(limit + 1), conditions=known)
        assert caught.value.code == "plan.too-large"
        assert f"at most {limit:,} can be" in caught.value.message
        assert "unique" in str(caught.value.hint)


def test_a_dataset_without_a_policy_is_named() -> None:
    with pytest.raises(PlanError, match="accounts_b, accounts_c") as error:
        place(
            literal_program(),
            network="two-parties",
            agreement_hash="0" * 64,
            analyst="fraud-desk",
            recipients=("fraud-desk",),
            policies={"transactions_a": 1},
            not_before=0,
            not_after=1,
            nonce="0" * 64,
        )
    assert error.value.code == "plan.no-policy"


def test_two_entries_of_one_dataset_do_not_make_a_plan() -> None:
    stale = Scan(entry("here", {"id": "int64", "x": "int64"}, rows=99))
    with pytest.raises(PlanError, match="two entries"):
        placed(join(HERE, stale, ("id", "id")))
