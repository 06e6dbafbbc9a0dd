"""Matched joins in plans: where they come in, what is no such plan, who learns what, what they cost."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from xor.errors import InternalError, PlanError, UsageError
from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.plan.codec import decode_plan, encode_plan
from xor.plan.conditions import Conditions
from xor.plan.cost import cells_bytes, costs
from xor.plan.disclosures import SERVICE, disclosures
from xor.plan.estimate import needs, seconds
from xor.plan.explain import explain
from xor.plan.limits import MAX_MATCHES
from xor.plan.oprf import okvs, vole
from xor.plan.oprf.exchange import Oprf, sent_bytes
from xor.plan.oprf.params import TREE_DEPTH
from xor.plan.placed import RECEIVERS, Exchange, Matched, PlacedPlan, Plaintext, Sealed
from xor.plan.predicates import Column, Compare, Comparison, IsNull, literal
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.plan.spec import matched_spec, release_spec
from xor.signing import canonical
from xor.testing.samples import entry, placed
from xor.testing.three_banks import ENTRIES, agreement, join
from xor.testing.three_banks import placed as placed_at_banks

HERE = Scan(entry("here", {"id": "int64", "x": "int64"}, rows=100))
ALSO_HERE = Scan(entry("also_here", {"id": "int64", "z": "int64"}, rows=100))
THERE = Scan(entry("there", {"id": "int64", "y": "int64"}, player="player-1", rows=1000))
THIRD = Scan(entry("third", {"id": "int64", "w": "int64"}, player="player-2", rows=10))
A, B, C = (Scan(ENTRIES[name]) for name in ("transactions_a", "accounts_b", "accounts_c"))
DESK, PLAYER_0, PLAYER_1 = (
    Party(Role.ANALYST, "fraud-desk"),
    Party(Role.PLAYER, "player-0"),
    Party(Role.PLAYER, "player-1"),
)
BETWEEN = ("player-0", "player-1")


def anything(_: PlacedPlan) -> bool:
    return True


def _join(kind: JoinKind = JoinKind.INNER, left: Relation = HERE, right: Relation = THERE) -> Join:
    return join(left, right, ("id", "id"), kind=kind)


def _crossed(source: Relation, left: str = "x_0", right: str = "y_1") -> Filter:
    """A condition that no owner can check alone."""
    return Filter(source, Compare(Comparison.LT, Column(left), Column(right)))


def _matched(plan: PlacedPlan) -> list[tuple[str, ...]]:
    return [(each.placement.at, *each.players) for each in plan.exchanges if each.placement.at]


# -- placement ----------------------------------------------------------------------------------------------


def test_what_can_be_sealed_is_sealed_whatever_policies_allow() -> None:
    for kind in (each for each in JoinKind if each is not JoinKind.ANTI):
        plan = placed(_join(kind), permits=anything)
        assert not _matched(plan)
        assert len(plan.exchanges) == 1


def test_an_anti_join_is_received_where_its_rows_are() -> None:
    plan = placed(_join(JoinKind.ANTI), permits=anything)
    assert plan.placements[-1] == Matched(BETWEEN, 0, "dh")
    (part,) = plan.parts
    assert (part.players, part.node) == (("player-0",), len(plan.nodes) - 1)


def test_a_filter_over_both_players_runs_at_the_receiver() -> None:
    plan = placed(_crossed(_join()), permits=anything)
    assert plan.placements[-2:] == (Matched(BETWEEN, 0, "dh"), Plaintext("player-0"))
    assert [part.players for part in plan.parts] == [("player-0",)]


def test_the_smaller_exposure_wins_then_a_clean_room_then_the_left() -> None:
    two_here = join(HERE, ALSO_HERE, ("id", "id"))
    crossed = _crossed(join(two_here, THERE, ("id_0", "id")), "x_0_0", "y_1")
    assert _matched(placed(crossed, permits=anything)) == [("player-0", *BETWEEN)]
    other = _crossed(join(THERE, two_here, ("id", "id_0")), "y_0", "x_0_1")
    assert _matched(placed(other, permits=anything)) == [("player-0", "player-1", "player-0")]
    even = _crossed(_join(left=THERE, right=HERE), "y_0", "x_1")
    assert _matched(placed(even, permits=anything)) == [("player-1", "player-1", "player-0")]
    at_banks = _crossed(join(C, B, ("account", "account")), "balance_0", "balance_1")
    assert _matched(placed_at_banks(at_banks, permits=anything)) == [("player-0", "player-1", "player-0")]


def test_the_other_receiver_is_taken_where_policies_allow_only_that() -> None:
    def only_there(plan: PlacedPlan) -> bool:
        return all(receiver == "player-1" for receiver, *_ in _matched(plan))

    plan = placed(_crossed(_join()), permits=only_there)
    assert _matched(plan) == [("player-1", *BETWEEN)]
    assert plan.placements[-1] == Plaintext("player-1")


def test_the_other_back_end_is_taken_where_policies_allow_only_that() -> None:
    def only_vole(plan: PlacedPlan) -> bool:
        return all(each.placement.oprf == "vole" for each in plan.exchanges)

    assert placed(_join(JoinKind.ANTI), permits=only_vole).placements[-1] == Matched(BETWEEN, 0, "vole")


@pytest.mark.parametrize(
    ("relation", "receivers"),
    [
        (_crossed(_join(JoinKind.LEFT)), ["player-0"]),
        (_crossed(_join(JoinKind.RIGHT)), ["player-1"]),
        (Filter(_join(JoinKind.LEFT), IsNull(Column("y_1"))), ["player-0"]),
        (join(_join(), ALSO_HERE, ("id_0", "id")), ["player-0"]),
        (join(Concat((_join(), _join())), HERE, ("id_0", "id")), ["player-0", "player-0"]),
    ],
)
def test_what_is_built_on_a_private_join_runs_in_plaintext_at_one_player(
    relation: Relation, receivers: list[str]
) -> None:
    plan = placed(relation, permits=anything)
    assert [receiver for receiver, *_ in _matched(plan)] == receivers
    assert len(plan.parts) == 1
    assert decode_plan(encode_plan(plan)).placements == plan.placements


def test_of_three_players_the_last_join_is_sealed() -> None:
    plan = placed(join(_join(), THIRD, ("id_0", "id")), permits=anything)
    assert _matched(plan) == [("player-0", *BETWEEN)]
    assert isinstance(plan.placements[-1], Sealed)
    assert [each.players for each in plan.exchanges] == [BETWEEN, ("player-0", "player-2")]
    assert [type(step) for step in plan.steps] == [Exchange, type(plan.parts[0])]
    assert plan.is_late(plan.parts[0], 0)
    assert not plan.is_late(plan.parts[0], 1)


def test_an_outer_join_cannot_be_matched() -> None:
    assert RECEIVERS[JoinKind.OUTER] == ()
    with pytest.raises(PlanError, match="a private outer join keeps rows"):
        placed(_crossed(_join(JoinKind.OUTER)), permits=anything)


def test_where_no_policy_allows_it_the_refusal_says_what_would() -> None:
    with pytest.raises(PlanError, match="an anti join of") as plain:
        placed(_join(JoinKind.ANTI))
    with pytest.raises(PlanError, match="an anti join of") as caught:
        placed(_join(JoinKind.ANTI), permits=lambda _: False)
    assert (caught.value.code, caught.value.message) == (plain.value.code, plain.value.message)
    assert "`reveal to player-0: {rows: [id]}`" in str(caught.value.hint)
    assert "`durations`" in str(caught.value.hint)
    assert "durations" not in str(plain.value.hint)


def test_more_rows_than_a_matched_join_takes_are_refused_by_name() -> None:
    many = Scan(entry("many", {"id": "int64", "x": "int64"}, rows=2**24 + 1))
    with pytest.raises(PlanError, match="would be matched; at most 16,777,216 can be") as caught:
        placed(_join(JoinKind.ANTI, left=many), permits=anything)
    assert caught.value.code == "plan.too-large"
    placed(_join(JoinKind.ANTI, left=Scan(entry("many", {"id": "int64"}, rows=2**24))), permits=anything)


def test_more_matched_joins_than_a_judge_looks_at_are_refused() -> None:
    def joins(count: int) -> Relation:
        return Concat((Project(_join(JoinKind.ANTI), (("id", "id_0"),)),) * count)

    placed(joins(MAX_MATCHES), permits=anything)
    with pytest.raises(PlanError, match="more than 16 of its joins are matched") as caught:
        placed(joins(MAX_MATCHES + 1), permits=anything)
    assert caught.value.code == "plan.too-large"


def test_who_sees_the_time_of_matched_joins_counts_towards_the_limit() -> None:
    recipients = [f"analyst-{number}" for number in range(64)]
    joins = Concat((Project(_join(JoinKind.ANTI), (("id", "id_0"),)),) * 8)
    with pytest.raises(PlanError, match="its parts and recipients together"):
        placed(joins, *recipients, permits=anything)


# -- bytes of plans -----------------------------------------------------------------------------------------

Body = dict[str, Any]


def _placement(body: Body) -> Body:
    found: Body = next(each["placement"] for each in body["nodes"] if "matched" in each["placement"])
    return found


TAMPERINGS: dict[str, Callable[[Body], object]] = {
    "no receiver": lambda body: _placement(body).pop("receiver"),
    "receiver as truth value": lambda body: _placement(body).update(receiver=True),
    "receiver that is no side": lambda body: _placement(body).update(receiver=2),
    "receiver below zero": lambda body: _placement(body).update(receiver=-1),
    "receiver that cannot receive a left join": lambda body: _placement(body).update(receiver=1),
    "other OPRF": lambda body: _placement(body).update(oprf="ideal"),
    "sides swapped": lambda body: _placement(body)["matched"].reverse(),
    "one player on both sides": lambda body: _placement(body).update(matched=["player-0", "player-0"]),
    "unknown field": lambda body: _placement(body).update(opener=0),
    "the step above elsewhere": lambda body: body["nodes"][-1].update(placement={"plaintext": "player-1"}),
    "the step above opened": lambda body: body["nodes"][-1].update(placement={"opened": True}),
    "an outer join": lambda body: body["nodes"][-2].update(kind="outer"),
    "a filter that is matched": lambda body: body["nodes"][-1].update(placement=_placement(body)),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_plan_is_refused(name: str) -> None:
    plan = placed(_crossed(_join(JoinKind.LEFT)), permits=anything)
    body = json.loads(encode_plan(plan).decode())
    assert decode_plan(canonical(body)).placements == plan.placements
    TAMPERINGS[name](body)
    with pytest.raises(UsageError):
        decode_plan(canonical(body))


# -- disclosures --------------------------------------------------------------------------------------------


def _of(relation: Relation, *subjects: Subject, receiver: str = "player-0") -> list[Disclosure]:
    def is_received(plan: PlacedPlan) -> bool:
        return all(each == receiver for each, *_ in _matched(plan))

    plan = placed_at_banks(relation, permits=is_received)
    return [each for each in disclosures(plan, agreement()) if each.subject in subjects]


def _private(kind: JoinKind = JoinKind.ANTI) -> Join:
    return join(A, C, ("ordering_account", "account"), kind=kind)


CROSSED = Project(
    _crossed(_private(JoinKind.INNER), "amount_0", "balance_1"), (("amount", "amount_0"), ("flag", "flag_0"))
)


def test_the_receiver_sees_keys_and_output_columns_of_the_sender_and_the_sender_nothing() -> None:
    rows = [each for each in _of(CROSSED, Subject.ROWS) if each.to.role is Role.PLAYER]
    (told,) = rows
    assert (told.dataset, told.to, told.columns) == ("accounts_c", PLAYER_0, {"account", "balance"})
    assert (told.form, told.is_matched) == ("matching rows", True)


@pytest.mark.parametrize("kind", [JoinKind.ANTI, JoinKind.LEFT])
def test_only_matching_rows_of_the_sender_are_told_whatever_the_join_keeps(kind: JoinKind) -> None:
    relation = _crossed(_private(kind), "amount_0", "balance_1") if kind is JoinKind.LEFT else _private(kind)
    told = [each for each in _of(relation, Subject.ROWS) if each.to == PLAYER_0]
    assert {(each.dataset, each.form, each.is_matched) for each in told} == {
        ("accounts_c", "matching rows", True)
    }


def test_a_row_of_the_sender_that_meets_itself_is_no_match() -> None:
    """The receiver had the sender's rows before: joined with them again, every row would be a match."""
    relation = _crossed(join(_join(left=THIRD), THERE, ("id_1", "id")), "w_0_0", "y_1")
    told = _told_to_third(relation, "player-2", "player-2")
    assert [(each.dataset, each.is_matched) for each in told] == [("there", True), ("there", False)]


def test_a_filter_of_the_sender_decides_which_rows_the_receiver_sees() -> None:
    rich = Filter(C, Compare(Comparison.GT, Column("balance"), literal(9, C.schema["balance"].type)))
    relation = join(A, rich, ("ordering_account", "account"), kind=JoinKind.ANTI)
    (condition,) = (each for each in _of(relation, Subject.CONDITION) if each.to == PLAYER_0)
    assert (condition.dataset, condition.columns) == ("accounts_c", {"balance"})


def test_only_the_receiver_may_guess_and_both_see_bounds() -> None:
    guesses = {(each.dataset, each.to, each.amount) for each in _of(CROSSED, Subject.GUESSES)}
    assert guesses == {("accounts_c", PLAYER_0, 68_952)}, "as many as fit a table of `vole`"
    sizes = {(each.dataset, each.to, each.amount) for each in _of(CROSSED, Subject.SIZES)}
    assert {each for each in sizes if each[1].role is Role.PLAYER} == {
        ("accounts_c", PLAYER_0, 5120),
        ("transactions_a", PLAYER_1, 20_480),
    }


def test_both_are_compared_and_protected_and_cells_leave_to_the_receiver() -> None:
    keys = {(each.dataset, each.to) for each in _of(CROSSED, Subject.KEY)}
    assert {("accounts_c", PLAYER_0), ("transactions_a", PLAYER_1)} <= keys
    protected = {each.dataset for each in _of(CROSSED, Subject.PROTECTION) if each.form == "malicious"}
    assert protected == {"accounts_c", "transactions_a"}
    leaving = {(each.dataset, each.to) for each in _of(CROSSED, Subject.LEAVES)}
    assert leaving == {
        ("accounts_c", PLAYER_0),
        ("accounts_c", SERVICE),
        ("transactions_a", SERVICE),
    }
    assert {(each.dataset, each.to) for each in _of(CROSSED, Subject.GROUPING)} == {("accounts_c", PLAYER_0)}


def test_rows_that_arrived_are_no_plaintext_of_another_zone() -> None:
    assert {(each.dataset, each.to) for each in _of(CROSSED, Subject.PLAINTEXT)} == {
        ("accounts_c", PLAYER_1),
        ("transactions_a", PLAYER_0),
    }


def test_a_receiver_without_hardware_protection_is_disclosed_to_whose_rows_it_gets() -> None:
    def simulated(receiver: str) -> set[str]:
        found = _of(CROSSED, Subject.PROTECTION, receiver=receiver)
        return {each.dataset for each in found if each.form != "malicious"}

    assert simulated("player-0") == {"transactions_a", "accounts_c"}
    assert simulated("player-1") == {"transactions_a"}


def test_everybody_but_the_receiver_learns_durations_of_both() -> None:
    told = {(each.dataset, each.to) for each in _of(CROSSED, Subject.DURATIONS)}
    assert told == {
        (dataset, to) for dataset in ("accounts_c", "transactions_a") for to in (PLAYER_1, SERVICE, DESK)
    }
    assert not _of(_private(JoinKind.INNER), Subject.DURATIONS)


def test_the_recipients_learn_of_what_is_released_as_ever() -> None:
    told = {each.dataset: each.columns for each in _of(CROSSED, Subject.ROWS) if each.to == DESK}
    assert told == {"transactions_a": {"amount", "flag"}, "accounts_c": frozenset()}


def test_what_was_received_once_is_told_again_to_the_next_receiver() -> None:
    relation = _crossed(join(_join(), THIRD, ("id_0", "id")), "y_1_0", "w_1")
    told = {each.dataset: each.columns for each in _told_to_third(relation, "player-0", "player-2")}
    assert told == {"here": {"id", "x"}, "there": {"id", "y"}}
    guessed = {
        each.dataset for each in _told_to_third(relation, "player-0", "player-2", subject=Subject.GUESSES)
    }
    assert guessed == {"here", "there"}


def _told_to_third(relation: Relation, *receivers: str, subject: Subject = Subject.ROWS) -> list[Disclosure]:
    def is_received(plan: PlacedPlan) -> bool:
        return tuple(receiver for receiver, *_ in _matched(plan)) == receivers

    known = agreement()
    third = known.player("player-1").model_copy(update={"name": "player-2", "key": "ab" * 32})
    known = known.model_copy(update={"players": (*known.players, third)})
    found = disclosures(placed(relation, permits=is_received), known)
    return [each for each in found if each.to.name == "player-2" and each.subject is subject]


# -- parameters and cost ------------------------------------------------------------------------------------


def _exchange(relation: Relation, oprf: Oprf = "dh") -> tuple[PlacedPlan, Exchange]:
    plan = placed(relation, conditions=Conditions(back_ends=(oprf,)), permits=anything)
    (found,) = plan.exchanges
    return plan, found


def test_the_parameters_name_receiver_bounds_and_what_the_sender_sends() -> None:
    unique = Scan(
        entry("there", {"id": "int64", "y": "text(9)"}, player="player-1", rows=999, unique=[["id"]])
    )
    relation = Filter(_join(JoinKind.LEFT, right=unique), IsNull(Column("y_1")))
    plan, exchange = _exchange(relation)
    assert json.loads(matched_spec(plan, "c" * 64, exchange.node)) == {
        "version": 1,
        "plan_hash": "c" * 64,
        "node": exchange.node,
        "receiver": 0,
        "rows": [112, 1024],
        "most_rows": 999,
        "is_unique": True,
        "keys": [{"left": {"type": "int64"}, "right": {"type": "int64"}}],
        "payload": [{"name": "id_1", "type": "int64"}, {"name": "y_1", "type": "text", "max_bytes": 9}],
        "oprf": "dh",
    }
    with pytest.raises(InternalError):
        matched_spec(plan, "c" * 64, exchange.node + 1)


def test_a_matched_join_at_the_root_is_released_by_its_receiver() -> None:
    plan = placed_at_banks(_private(), permits=anything)
    (part,) = plan.parts
    assert json.loads(release_spec(plan, "c" * 64, part, agreement()))["rows"] == 20_480
    assert (part.source(0), plan.source_of(part, 0)) == (plan.root, part.node)
    assert plan.is_late(part, 0)


def test_dh_evaluates_the_receivers_keys_only() -> None:
    bounds = (20_480, 1024)
    hello = 80
    assert sent_bytes("dh", bounds, 0, (0,)) == hello + 32 * 20_480 + 4 * 2
    assert sent_bytes("dh", bounds, 1, (0,)) == hello + 36 + 32 * 20_480 + 68 * 2
    both = [sent_bytes("dh", bounds, side) for side in (0, 1)]
    ways = [sum(sent_bytes("dh", bounds, side, (each,)) - hello for each in (0, 1)) for side in (0, 1)]
    assert both == [hello + each for each in ways]


def test_vole_makes_the_receivers_table_only() -> None:
    bounds, table = (20_480, 1024), okvs.shape(20_480).table_len
    coins = 96 + 64 + 64 + 32 + 16
    cost = vole.cost(table, TREE_DEPTH, is_first=True)
    assert sent_bytes("vole", bounds, 0, (0,)) == 80 + coins + cost.receiver_bytes + 16 * table + 4
    assert sent_bytes("vole", bounds, 1, (0,)) == 80 + coins + cost.sender_bytes


@pytest.mark.parametrize(("rows", "bitmap", "counted"), [(224, 29, 0), (1024, 160, 1), (2**17, 24_576, 2)])
def test_cells_are_a_bitmap_and_records_without_what_it_says(rows: int, bitmap: int, counted: int) -> None:
    """Label: 40 + log2 of cells, twice, in bits; the row: a byte of NULLs, an int64, two bytes of length."""
    there = Scan(entry("there", {"id": "int64", "y": "int64"}, player="player-1", rows=rows))
    _, exchange = _exchange(Project(_crossed(_join(right=there)), (("x", "x_0"),)), "vole")
    label = -(-(40 + 2 * max(8, (rows - 1).bit_length())) // 8)
    total = bitmap + rows * (label - counted + 2 + 1 + 8)
    assert cells_bytes(exchange) == total + 4 * -(-total // 2**20)
    own, peer = costs(exchange)
    assert (own.stream_bytes, peer.stream_bytes) == (0, 0)
    assert peer.sent_bytes == sent_bytes("vole", exchange.bounds, 1, (0,)) + cells_bytes(exchange)


def test_estimates_count_both_players_and_the_release() -> None:
    plan, exchange = _exchange(_crossed(_join()))
    assert seconds(exchange, Conditions()).exchange.seconds > 0
    here, there = needs(plan)
    assert here.disk_bytes > 0
    assert there.disk_bytes == 0
    assert here.memory_bytes > there.memory_bytes


def test_the_statement_says_who_gets_rows_in_plaintext() -> None:
    text = explain(placed_at_banks(CROSSED, permits=anything), agreement()).text
    assert "player-0 gets the matching rows of player-1 in plaintext" in " ".join(text.split())
    assert "sees how long later steps take, which depends on what matched" in " ".join(text.split())
    assert "stores sealed rows of accounts_c, and opens those whose key it brings itself" in " ".join(
        text.split()
    )
