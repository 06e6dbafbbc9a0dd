"""What a placed plan discloses: each rule of the derivation on its own."""

import pytest

from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.plan.conditions import Conditions
from xor.plan.disclosures import SERVICE, disclosures
from xor.plan.oprf.exchange import Oprf
from xor.plan.predicates import Column, Compare, Comparison, Not, literal
from xor.plan.relations import Concat, Filter, JoinKind, Project, Relation, Scan
from xor.testing.samples import placed
from xor.testing.three_banks import ENTRIES, agreement, join, literal_program, one_direction

A, B, C = (Scan(ENTRIES[name]) for name in ("transactions_a", "accounts_b", "accounts_c"))
DESK, AUDITORS = Party(Role.ANALYST, "fraud-desk"), Party(Role.ANALYST, "auditors")
PLAYER_0, PLAYER_1 = Party(Role.PLAYER, "player-0"), Party(Role.PLAYER, "player-1")


def _of(
    relation: Relation, subject: Subject, dataset: str | None = None, *recipients: str
) -> list[Disclosure]:
    found = disclosures(placed(relation, *recipients), agreement())
    return [each for each in found if each.subject is subject and dataset in (None, each.dataset)]


def _columns(relation: Relation, subject: Subject, dataset: str) -> set[str]:
    return {column for each in _of(relation, subject, dataset) for column in each.columns}


def _private(kind: JoinKind = JoinKind.INNER) -> Relation:
    return join(A, C, ("ordering_account", "account"), kind=kind)


def _select(source: Relation, *names: str) -> Relation:
    return Project(source, tuple((name, name) for name in names))


def test_plaintext_exists_where_each_dataset_is_hosted_and_nowhere_else() -> None:
    at = {(each.dataset, each.to.name, each.form) for each in _of(literal_program(), Subject.PLAINTEXT)}
    assert at == {
        ("transactions_a", "player-0", "clean room"),
        ("accounts_b", "player-0", "clean room"),
        ("accounts_c", "player-1", "premises"),
    }


def test_a_simulated_clean_room_is_disclosed_to_those_whose_data_are_in_it() -> None:
    simulated = [each for each in _of(literal_program(), Subject.PROTECTION) if each.form != "malicious"]
    assert {each.dataset for each in simulated} == {"transactions_a", "accounts_b"}


def test_the_adversary_model_is_stated_for_every_dataset_of_a_sealed_join() -> None:
    stated = [each for each in _of(literal_program(), Subject.PROTECTION) if each.form == "malicious"]
    assert {each.dataset for each in stated} == {"transactions_a", "accounts_b", "accounts_c"}


def test_keys_are_disclosed_in_both_directions_with_what_flows_alongside() -> None:
    keys = {
        (each.dataset, each.against, each.alongside, each.to) for each in _of(literal_program(), Subject.KEY)
    }
    b, c = frozenset({"accounts_b"}), frozenset({"accounts_c"})
    assert keys == {
        ("accounts_b", (("account", "transactions_a.beneficiary_account"),), c, PLAYER_0),
        ("transactions_a", (("beneficiary_account", "accounts_b.account"),), c, PLAYER_0),
        ("accounts_c", (("account", "transactions_a.ordering_account"),), b, PLAYER_0),
        ("transactions_a", (("ordering_account", "accounts_c.account"),), b, PLAYER_1),
    }


def test_a_composite_key_is_one_disclosure_with_all_pairs() -> None:
    relation = join(B, C, ("account", "account"), ("zip", "zip"))
    (key,) = _of(relation, Subject.KEY, "accounts_c")
    assert key.against == (("account", "accounts_b.account"), ("zip", "accounts_b.zip"))
    assert key.columns == {"account", "zip"}


def test_a_renamed_and_united_key_is_traced_to_all_its_datasets() -> None:
    ordering = Project(A, (("account", "ordering_account"),))
    both = Concat((ordering, _select(B, "account")))
    (key,) = _of(join(both, C, ("account", "account")), Subject.KEY, "accounts_c")
    assert key.against == (("account", "accounts_b.account"), ("account", "transactions_a.ordering_account"))


@pytest.mark.parametrize(("oprf", "of_c", "of_a"), [("dh", 5120, 20_480), ("vole", 17_869, 68_952)])
def test_each_side_may_guess_as_often_as_its_padded_bound_lets_it(oprf: Oprf, of_c: int, of_a: int) -> None:
    """A cheating partner fits more keys into a table of `vole` than the bound: 128/48 of its blocks."""
    plan = placed(literal_program(), conditions=Conditions(back_ends=(oprf,)))
    found = [each for each in disclosures(plan, agreement()) if each.subject is Subject.GUESSES]
    assert {(each.dataset, each.to, each.amount) for each in found} == {
        ("transactions_a", PLAYER_1, of_c),
        ("accounts_b", PLAYER_1, of_c),
        ("accounts_c", PLAYER_0, of_a),
    }


def test_every_sealed_join_of_a_plan_has_its_own_guesses() -> None:
    relation = _select(_private(), "amount_0")
    assert len(_of(Concat((relation, relation)), Subject.GUESSES, "accounts_c")) == 2


def test_local_joins_disclose_keys_but_no_guesses_and_no_grouping() -> None:
    local = join(B, A, ("account", "beneficiary_account"))
    assert _of(local, Subject.KEY)
    assert not _of(local, Subject.GUESSES)
    assert not _of(local, Subject.GROUPING)


def test_only_output_columns_and_those_equal_to_them_are_revealed() -> None:
    relation = _select(_private(), "amount_0", "ordering_account_0")
    assert _columns(relation, Subject.ROWS, "transactions_a") == {"amount", "ordering_account"}
    assert _columns(relation, Subject.ROWS, "accounts_c") == {"account"}


def test_a_dataset_without_output_column_still_reveals_that_rows_matched() -> None:
    relation = _select(_private(), "amount_0")
    (matched,) = _of(relation, Subject.ROWS, "accounts_c")
    assert matched.columns == frozenset()
    assert matched.form == "matching rows"


def test_equality_reaches_through_a_chain_of_joins() -> None:
    inner = join(B, A, ("account", "ordering_account"))
    relation = _select(join(inner, C, ("ordering_account_1", "account")), "account_1")
    for dataset, column in (("accounts_b", "account"), ("transactions_a", "ordering_account")):
        assert _columns(relation, Subject.ROWS, dataset) == {column}


def test_columns_dropped_after_opening_are_revealed_all_the_same() -> None:
    plan = placed(one_direction())
    revealed = {
        (each.node, column)
        for each in disclosures(plan, agreement())
        if each.subject is Subject.ROWS
        for column in each.columns
    }
    assert {node for node, _ in revealed} == {part.node for part in plan.parts}


def test_a_preserved_side_reveals_all_its_rows() -> None:
    forms = {each.dataset: each.form for each in _of(_private(JoinKind.LEFT), Subject.ROWS)}
    assert forms == {"transactions_a": "all rows", "accounts_c": "matching rows"}


def test_a_filter_makes_all_rows_matching_rows_and_its_columns_conditions() -> None:
    relation = Filter(_select(A, "amount", "flag"), Compare(Comparison.EQ, Column("flag"), literal(1)))
    (rows,) = _of(_select(relation, "amount"), Subject.ROWS)
    assert (rows.form, rows.columns) == ("matching rows", {"amount"})
    assert _columns(_select(relation, "amount"), Subject.CONDITION, "transactions_a") == {"flag"}


def test_a_condition_on_a_key_is_one_on_the_partners_key_too() -> None:
    condition = Compare(Comparison.EQ, Column("ordering_account_0"), literal("CH_1"))
    relation = _select(Filter(_private(), condition), "amount_0")
    assert _columns(relation, Subject.CONDITION, "accounts_c") == {"account"}


def test_a_filter_that_compares_two_datasets_is_a_key_of_both() -> None:
    local = join(B, A, ("account", "beneficiary_account"))
    condition = Not(Compare(Comparison.NE, Column("balance_0"), Column("amount_1")))
    relation = _select(Filter(local, condition), "amount_1")
    pairs = [pair for each in _of(relation, Subject.KEY, "accounts_b") for pair in each.against]
    assert ("balance", "transactions_a.amount") in pairs
    assert "balance" in _columns(relation, Subject.ROWS, "accounts_b")


def test_a_filter_within_one_dataset_is_no_key() -> None:
    condition = Compare(Comparison.EQ, Column("beneficiary_account"), Column("ordering_account"))
    assert not _of(Filter(A, condition), Subject.KEY)


def test_a_table_joined_with_itself_is_compared_with_itself() -> None:
    (key,) = _of(join(B, B, ("account", "name")), Subject.KEY)
    assert key.against == (("account", "accounts_b.name"), ("name", "accounts_b.account"))


def test_only_a_match_with_another_table_is_one() -> None:
    def are_matched(relation: Relation) -> set[bool]:
        return {each.is_matched for each in _of(relation, Subject.ROWS, "accounts_b")}

    with_a = join(A, B, ("ordering_account", "account"))
    for kind in (JoinKind.INNER, JoinKind.SEMI):
        assert are_matched(join(B, A, ("account", "ordering_account"), kind=kind)) == {True}
        assert are_matched(join(B, B, ("account", "account"), kind=kind)) == {False}
    assert are_matched(join(B, with_a, ("account", "account_1"), kind=JoinKind.LEFT)) == {False}
    assert are_matched(join(with_a, with_a, ("account_1", "account_1"), kind=JoinKind.SEMI)) == {True}
    assert are_matched(join(A, B, ("ordering_account", "account"), kind=JoinKind.LEFT)) == {True}
    assert are_matched(join(A, B, ("ordering_account", "account"), kind=JoinKind.ANTI)) == {False}


def test_what_only_a_second_reading_tells_is_said_apart() -> None:
    """A row of B meets itself, so its other reading shows the key that the first one is joined on."""
    itself = join(B, B, ("account", "account"))
    twice = join(itself, C, ("name_0", "account"))
    shown = _select(twice, "name_1_0", "balance_1")
    told = {each.form: each.columns for each in _of(shown, Subject.ROWS, "accounts_c")}
    assert told == {"matching rows": {"balance"}, "implied": {"account"}}
    some = Filter(itself, Compare(Comparison.EQ, Column("name_1"), literal("x")))
    chosen = _select(join(some, C, ("name_0", "account")), "balance_1")
    conditions = {each.form: each.columns for each in _of(chosen, Subject.CONDITION, "accounts_c")}
    assert conditions == {"implied": {"account"}}
    once = _select(join(A, C, ("ordering_account", "account")), "balance_1")
    assert {each.form for each in _of(once, Subject.ROWS)} == {"matching rows"}


def test_sizes_go_to_the_partner_the_service_and_the_analysts() -> None:
    to = {each.to for each in _of(_private(), Subject.SIZES, "accounts_c", "auditors")}
    assert to == {PLAYER_0, SERVICE, DESK, AUDITORS}


def test_results_are_revealed_to_recipients_only() -> None:
    assert {each.to for each in _of(_private(), Subject.ROWS, None, "auditors")} == {AUDITORS}
    assert {each.to for each in _of(_private(), Subject.GROUPING, None, "auditors")} == {AUDITORS}


def test_sealed_rows_leave_also_without_a_join() -> None:
    assert [(each.dataset, each.form) for each in _of(A, Subject.LEAVES)] == [
        ("transactions_a", "sealed rows")
    ]


def test_a_semi_join_groups_the_rows_of_the_kept_side_only() -> None:
    assert {each.dataset for each in _of(_private(JoinKind.SEMI), Subject.GROUPING)} == {"transactions_a"}


def test_order_is_the_same_every_time_and_nothing_appears_twice() -> None:
    plan = placed(Concat((one_direction(), one_direction())))
    found = disclosures(plan, agreement())
    assert found == disclosures(plan, agreement())
    assert len(set(found)) == len(found)
    assert [each.node for each in found] == sorted(each.node for each in found)
