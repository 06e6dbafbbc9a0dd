"""Frames: what api.md says of names, joins, filters and what is refused while a frame is built."""

import copy
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from xor import dataframe as xf
from xor.errors import PlanError, SchemaError, UsageError
from xor.model.types import Kind
from xor.plan.predicates import And, Column, Compare, Comparison, IsIn, IsNull, IsTrue, Literal, Not, Or
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project
from xor.testing.samples import entry


def code_of(caught: pytest.ExceptionInfo[UsageError]) -> str:
    return caught.value.code


# -- names -----------------------------------------------------------------------------------------------


def test_every_column_of_every_input_gets_the_suffix_of_its_input(b_accounts, transactions):
    joined = xf.join([b_accounts, transactions], on=[["account"], ["beneficiary_account"]])
    assert joined.columns == [
        "account_0", "balance_0", "name_0", "street_0", "city_0", "zip_0", "country_0",
        "beneficiary_account_1", "ordering_account_1", "timestamp_1", "amount_1", "flag_1",
    ]  # fmt: skip


def test_suffixes_stack(b_accounts, transactions, c_accounts):
    tee_join = xf.join([b_accounts, transactions], on=[["account"], ["beneficiary_account"]])
    private = xf.join([tee_join, c_accounts], on=[["ordering_account_1"], ["account"]])
    assert {"ordering_account_1_0", "account_0_0", "account_1", "zip_1"} <= set(private.columns)


def test_suffixes_can_be_chosen(b_accounts, transactions):
    joined = xf.join(
        [b_accounts, transactions], on=[["account"], ["ordering_account"]], suffixes=("_left", "_right")
    )
    assert joined.columns[0] == "account_left"
    assert joined.columns[-1] == "flag_right"


def test_clash_suffixes_only_what_clashes(b_accounts, c_accounts, transactions):
    mixed = xf.join([b_accounts, transactions], on=[["account"], ["ordering_account"]], suffixes="clash")
    assert "account" in mixed
    assert "amount" in mixed
    alike = xf.join([b_accounts, c_accounts], on="account", suffixes="clash")
    assert {"account_0", "account_1"} <= set(alike.columns)


def test_suffixes_that_make_two_columns_of_one_name_are_refused(b_accounts, c_accounts):
    with pytest.raises(SchemaError, match="'account'"):
        xf.join([b_accounts, c_accounts], on="account", suffixes=("", ""))


@pytest.mark.parametrize("suffixes", [("_a",), "_a", ("_a", "_b", "_c"), (1, 2)])
def test_suffixes_of_another_number_are_refused(b_accounts, c_accounts, suffixes):
    with pytest.raises(UsageError) as caught:
        xf.join([b_accounts, c_accounts], on="account", suffixes=suffixes)
    assert code_of(caught) == "usage.suffixes"


def test_a_column_is_found_by_where_it_comes_from(b_accounts, transactions, c_accounts):
    tee_join = xf.join([b_accounts, transactions], on=[["account"], ["beneficiary_account"]])
    private = xf.join(
        [tee_join, c_accounts], on=[["transactions_a.ordering_account"], ["accounts_c.account"]]
    )
    assert private["transactions_a.amount"].name == "amount_1_0"
    assert private.select(["accounts_c.zip", "flag_1_0"]).columns == ["zip_1", "flag_1_0"]
    assert "zip_1" not in private.drop("accounts_c.zip")
    assert "postcode" in private.rename({"accounts_c.zip": "postcode"})


def test_an_ambiguous_origin_lists_the_columns_that_come_from_there(b_accounts):
    twice = xf.join([b_accounts, b_accounts], on="account")
    with pytest.raises(SchemaError, match="account_0, account_1") as caught:
        twice["accounts_b.account"]
    assert code_of(caught) == "schema.ambiguous-column"


def test_a_missing_column_lists_near_names(c_accounts):
    with pytest.raises(SchemaError, match="frame 'accounts_c' has no column 'acount'") as caught:
        c_accounts["acount"]
    assert "did you mean 'account'" in str(caught.value)
    assert "country" in str(caught.value)


def test_a_name_without_its_suffix_is_answered_with_the_ones_it_has(b_accounts, c_accounts):
    joined = xf.join([b_accounts, c_accounts], on="account")
    with pytest.raises(SchemaError, match="'zip_0' or 'zip_1'"):
        joined["zip"]


@pytest.mark.parametrize(
    "build",
    [
        lambda f: f.select(["nope"]),
        lambda f: f.drop("nope"),
        lambda f: f.rename({"nope": "x"}),
        lambda f: f[["account", "nope"]],
        lambda f: f.merge(f, on="nope"),
    ],
)
def test_a_missing_column_is_refused_wherever_it_is_named(b_accounts, build):
    with pytest.raises(SchemaError) as caught:
        build(b_accounts)
    assert code_of(caught) == "schema.unknown-column"


def test_duplicate_column_names_are_refused(b_accounts):
    with pytest.raises(SchemaError) as caught:
        b_accounts.rename({"zip": "account"})
    assert code_of(caught) == "schema.duplicate-column"
    with pytest.raises(SchemaError):
        b_accounts.select(["zip", "zip"])


def test_select_drop_and_rename_keep_types_and_order(b_accounts):
    chosen = b_accounts.select("zip", "account").rename({"zip": "postcode"})
    assert chosen.columns == ["postcode", "account"]
    assert chosen.dtypes["postcode"].kind is Kind.TEXT
    assert b_accounts[["zip"]].columns == ["zip"]
    assert "name" not in b_accounts.drop(["name", "street"])
    with pytest.raises(SchemaError):
        b_accounts.drop(b_accounts.columns)


def test_swapping_two_names_is_a_rename(b_accounts):
    swapped = b_accounts.select("zip", "city").rename({"zip": "city", "city": "zip"})
    assert swapped.columns == ["city", "zip"]


# -- joins -----------------------------------------------------------------------------------------------


def test_join_and_merge_are_methods_with_the_arguments_of_pandas(b_accounts, transactions):
    for method in (b_accounts.join, b_accounts.merge):
        joined = method(transactions, left_on="account", right_on="beneficiary_account", how="left")
        assert isinstance(joined.relation, Join)
        assert joined.relation.kind is JoinKind.LEFT
        assert joined.relation.keys == (("account_0", "beneficiary_account_1"),)
    assert b_accounts.merge(b_accounts, on=["account", "zip"]).relation.keys == (
        ("account_0", "account_1"), ("zip_0", "zip_1"),
    )  # fmt: skip


def test_more_than_two_inputs_join_on_the_key_of_the_first(b_accounts, transactions):
    joined = xf.join(
        [b_accounts, transactions, b_accounts],
        on=[["account"], ["ordering_account"], ["account"]],
        how="left",
    )
    outer = joined.relation
    assert isinstance(outer, Join)
    assert outer.keys == (("account_0", "account_2"),)
    assert outer.inputs[0].keys == (("account_0", "ordering_account_1"),)
    assert joined.columns[-1] == "country_2"


@pytest.mark.parametrize("how", ["right", "outer", "semi", "anti"])
def test_other_kinds_take_two_inputs(b_accounts, how):
    with pytest.raises(PlanError, match=f"a {how} join takes two frames"):
        xf.join([b_accounts] * 3, on="account", how=how)


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer", "semi", "anti"])
def test_all_six_kinds_join_at_one_player(b_accounts, transactions, how):
    joined = xf.join([b_accounts, transactions], on=[["account"], ["ordering_account"]], how=how)
    keeps_right = how not in ("semi", "anti")
    assert ("amount_1" in joined) == keeps_right


@pytest.mark.parametrize("how", ["inner", "left", "right", "outer", "semi"])
def test_five_kinds_are_private_between_players(b_accounts, c_accounts, how):
    xf.join([b_accounts, c_accounts], on="account", how=how)


def test_a_private_anti_join_is_refused_when_the_frame_is_built(b_accounts, c_accounts):
    with pytest.raises(PlanError, match="anti join") as caught:
        xf.join([b_accounts, c_accounts], on="account", how="anti")
    assert code_of(caught) == "plan.not-built"


def test_a_join_on_top_of_a_private_join_is_refused_when_the_frame_is_built(b_accounts, c_accounts):
    private = xf.join([b_accounts, c_accounts], on="account")
    with pytest.raises(PlanError) as caught:
        xf.join([private, b_accounts], on=[["account_0"], ["account"]])
    assert code_of(caught) == "plan.not-built"


def test_an_unknown_kind_lists_the_known_ones(b_accounts, c_accounts):
    with pytest.raises(UsageError, match="inner, left, right, outer, semi, anti"):
        xf.join([b_accounts, c_accounts], on="account", how="cross")


@pytest.mark.parametrize(
    "on",
    [["account", "account"], [["account"]], [["account"], []], None, [["account"], [1]], "account account"],
)
def test_keys_of_another_form_are_refused(b_accounts, c_accounts, on):
    with pytest.raises(UsageError):
        xf.join([b_accounts, c_accounts], on=on)


def test_keys_of_different_lengths_are_refused(b_accounts, c_accounts):
    with pytest.raises(SchemaError, match="different lengths: 1, 2"):
        xf.join([b_accounts, c_accounts], on=[["account"], ["account", "zip"]])


@pytest.mark.parametrize(
    ("left", "right"), [("account", "balance"), ("account", "timestamp"), ("timestamp", "flag")]
)
def test_keys_whose_types_never_match_are_refused(b_accounts, transactions, left, right):
    joined = xf.join([b_accounts, transactions], on=[["account"], ["ordering_account"]], suffixes="clash")
    with pytest.raises(SchemaError) as caught:
        joined.merge(joined, left_on=left, right_on=right)
    assert code_of(caught) == "schema.key-mismatch"


def test_a_float_is_never_a_key(client, service):
    service.entries["measures"] = entry("measures", {"x": "float64"})
    service.signers = {}
    frame = client.use("accounts_b", "player-0")
    measures = xf.Frame(type(frame.relation)(service.entries["measures"]), _with_policy(client, "measures"))
    with pytest.raises(SchemaError) as caught:
        measures.merge(measures, on="x")
    assert code_of(caught) == "schema.float-key"


def _with_policy(client, name):
    """Knows a policy of the dataset, so that plans over it can be placed."""
    policy = client._known.policies["accounts_b"].model_copy(update={"dataset": name})
    client._known.policies[name] = policy
    return client


def test_validate_is_checked_against_what_owners_declare(b_accounts, transactions, c_accounts):
    keys = [["ordering_account"], ["account"]]
    xf.join([transactions, c_accounts], on=keys, validate="m:1")
    xf.join([b_accounts, c_accounts], on="account", validate="one_to_one")
    xf.join([transactions, c_accounts], on=keys, validate="m:m")
    for validate in ("1:1", "1:m"):
        with pytest.raises(PlanError, match="left keys") as caught:
            xf.join([transactions, c_accounts], on=keys, validate=validate)
        assert code_of(caught) == "plan.not-unique"
    with pytest.raises(UsageError, match="1:1, 1:m, m:1, m:m"):
        xf.join([transactions, c_accounts], on=keys, validate="many")


def test_frames_of_another_kind_are_no_input(b_accounts):
    for frames in ([b_accounts], b_accounts, [b_accounts, pd.DataFrame()]):
        with pytest.raises(UsageError):
            xf.join(frames, on="account")


# -- concat ----------------------------------------------------------------------------------------------


def test_concat_goes_by_name(b_accounts, c_accounts):
    both = xf.concat([b_accounts.select("account", "zip"), c_accounts.select("zip", "account")])
    assert both.columns == ["account", "zip"]
    assert isinstance(both.relation, Concat)


def test_concat_of_other_names_or_types_is_refused(b_accounts, transactions):
    with pytest.raises(SchemaError, match="balance, zip") as caught:
        xf.concat([b_accounts.select("account", "zip"), b_accounts.select("account", "balance")])
    assert code_of(caught) == "schema.concat-mismatch"
    with pytest.raises(SchemaError):
        xf.concat([b_accounts.select("account"), transactions.select("amount").rename({"amount": "account"})])
    with pytest.raises(UsageError):
        xf.concat([])


# -- conditions ------------------------------------------------------------------------------------------


def predicate_of(frame: xf.Frame):
    assert isinstance(frame.relation, Filter)
    return frame.relation.predicate


def test_comparisons_build_predicates(transactions):
    amount = Column("amount")
    for operator, condition in (
        (Comparison.EQ, transactions["amount"] == Decimal("1.50")),
        (Comparison.NE, transactions["amount"] != Decimal("1.50")),
        (Comparison.LT, transactions["amount"] < Decimal("1.50")),
        (Comparison.LE, transactions["amount"] <= Decimal("1.50")),
        (Comparison.GT, transactions["amount"] > Decimal("1.50")),
        (Comparison.GE, transactions["amount"] >= Decimal("1.50")),
    ):
        found = predicate_of(transactions[condition])
        assert isinstance(found, Compare)
        assert (found.operator, found.left) == (operator, amount)
        assert isinstance(found.right, Literal)
        assert found.right.value == Decimal("1.50")


def test_a_constant_may_stand_on_the_left(transactions):
    found = predicate_of(transactions[transactions["amount"] > 1000])
    assert isinstance(found, Compare)
    assert found.operator is Comparison.GT


def test_conditions_combine(transactions):
    flag, amount = transactions["flag"], transactions["amount"]
    found = predicate_of(transactions[(flag == 1) & ~((amount > 10) | amount.is_null())])
    assert isinstance(found, And)
    assert isinstance(found.right, Not)
    assert isinstance(found.right.operand, Or)
    assert found.right.operand.right == IsNull(Column("amount"))


def test_isin_between_and_null(transactions):
    flag = transactions["flag"]
    assert isinstance(predicate_of(transactions[flag.isin([0, 1])]), IsIn)
    assert predicate_of(transactions[flag.isna()]) == predicate_of(transactions[flag.is_null()])
    assert predicate_of(transactions[flag.notna()]) == Not(IsNull(Column("flag")))
    between = predicate_of(transactions[flag.between(0, 5, inclusive="left")])
    assert [each.operator for each in (between.left, between.right)] == [Comparison.GE, Comparison.LT]
    with pytest.raises(UsageError):
        flag.between(0, 5, inclusive="yes")
    with pytest.raises(UsageError):
        flag.isin("01")


def test_nothing_is_in_an_empty_list_not_even_null(transactions):
    found = predicate_of(transactions[transactions["flag"].isin([])])
    assert found == And(IsNull(Column("flag")), Not(IsNull(Column("flag"))))


def test_scalars_of_numpy_and_pandas_are_taken_by_value(transactions):
    found = predicate_of(transactions[transactions["flag"] == np.int64(3)])
    assert found.right.value == 3
    moment = pd.Timestamp("2022-04-01 00:02:03")
    found = predicate_of(transactions[transactions["timestamp"] >= moment])
    assert type(found.right.value) is dt.datetime


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("flag", "1"),
        ("amount", "1.5"),
        ("timestamp", dt.date(2022, 4, 1)),
        ("timestamp", dt.datetime(2022, 4, 1, tzinfo=dt.UTC)),
        ("timestamp", pd.Timestamp(1)),
        ("timestamp", pd.NaT),
        ("flag", None),
        ("flag", float("nan")),
        ("amount", object()),
        ("ordering_account", 1),
    ],
)
def test_what_cannot_be_compared_exactly_is_refused(transactions, column, value):
    with pytest.raises(SchemaError) as caught:
        _ = transactions[column] == value
    assert code_of(caught) == "schema.type-mismatch"
    assert caught.value.hint


def test_a_float_against_a_decimal_means_its_shortest_text(transactions):
    found = predicate_of(transactions[transactions["amount"] > 1000.1])
    assert found.right.value == Decimal("1000.1")


def test_a_condition_has_no_truth_value(transactions):
    for ask in (
        lambda: bool(transactions["amount"] > 1),
        lambda: (transactions["amount"] > 1) and (transactions["flag"] == 0),
        lambda: not transactions["amount"],
        lambda: 1 < transactions["amount"] < 5,
    ):
        with pytest.raises(UsageError, match="&") as caught:
            ask()
        assert code_of(caught) == "usage.no-truth-value"


def test_a_column_and_a_frame_give_no_values(transactions):
    for ask in (lambda: list(transactions["flag"]), lambda: len(transactions), lambda: list(transactions),
                lambda: bool(transactions), lambda: transactions[0], lambda: transactions[0:3]):  # fmt: skip
        with pytest.raises(UsageError):
            ask()


def test_a_text_column_is_no_condition(transactions):
    with pytest.raises(SchemaError, match="no bool"):
        transactions.filter(transactions["flag"])
    with pytest.raises(UsageError, match="parentheses"):
        (transactions["flag"] == 1) & "x"


def test_a_bool_column_is_a_condition(client):
    relation = type(client.use("accounts_b", "player-0").relation)(entry("flags", {"is_new": "bool"}))
    frame = xf.Frame(relation, _with_policy(client, "flags"))
    assert predicate_of(frame[frame["is_new"]]) == IsTrue(Column("is_new"))
    assert predicate_of(frame[~frame["is_new"]]) == Not(IsTrue(Column("is_new")))


def test_a_condition_of_another_frame_is_refused(b_accounts, c_accounts):
    with pytest.raises(SchemaError) as caught:
        b_accounts[c_accounts["zip"] == "02139"]
    assert code_of(caught) == "schema.other-frame"
    narrowed = b_accounts.select("zip", "account")
    assert isinstance(narrowed[b_accounts["zip"] == "02139"].relation, Filter)


def test_a_filter_after_a_private_join_is_allowed_where_an_owner_can_apply_it(b_accounts, c_accounts):
    private = xf.join([b_accounts, c_accounts], on="account")
    private.filter(private["country_0"] == "Canada", private["zip_1"] != "02139")
    with pytest.raises(PlanError) as caught:
        private[private["zip_0"] == private["zip_1"]]
    assert code_of(caught) == "plan.not-built"
    left = xf.join([b_accounts, c_accounts], on="account", how="left")
    with pytest.raises(PlanError):
        left[left["zip_1"].is_null()]


# -- looking ---------------------------------------------------------------------------------------------


def test_head_gives_labelled_synthetic_rows_of_the_right_types(transactions, service):
    asked = len(service.requests)
    rows = transactions.head(3)
    assert list(rows.columns) == transactions.columns
    assert list(rows.index) == ["synthetic 0", "synthetic 1", "synthetic 2"]
    assert rows.index.name == "never data"
    assert [str(each) for each in rows.dtypes] == [
        "string[pyarrow]", "string[pyarrow]", "timestamp[us][pyarrow]", "decimal128(18, 2)[pyarrow]",
        "int64[pyarrow]",
    ]  # fmt: skip
    assert len(service.requests) == asked
    with pytest.raises(UsageError):
        transactions.head(-1)


def test_a_frame_shows_names_and_types_and_escapes_them(client):
    evil = "<script>alert('x')</script>\"&\x1b[2J"
    relation = type(client.use("accounts_b", "player-0").relation)(entry("evil", {evil: "int64"}))
    frame = xf.Frame(relation, _with_policy(client, "evil"))
    html = frame._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html
    assert "\x1b" not in repr(frame)
    assert evil in frame.columns


def test_frames_are_no_pickles(transactions):
    for handle in (transactions, transactions["flag"], transactions["flag"] == 1, transactions.client):
        with pytest.raises(UsageError, match="pickle"):
            handle.__reduce_ex__(4)
    assert copy.copy(transactions) is transactions


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f.assign(x=1),
        lambda f: f.sort_values("flag"),
        lambda f: f.groupby("flag").agg("sum"),
        lambda f: f.agg("sum"),
        lambda f: f.describe(),
        lambda f: f.value_counts(),
        lambda f: f.fill_null(0),
        lambda f: f["flag"].fill_null(0),
        lambda f: f["ordering_account"].str,
        lambda f: f["timestamp"].dt,
        lambda f: f["amount"] + 1,
        lambda f: f["amount"].mean(),
        lambda f: f.merge(f, on="flag", fuzzy=[]),
        lambda f: xf.join([f, f], on="flag", fuzzy={}),
        lambda f: xf.normalize(f["ordering_account"]),
        lambda f: f.run(),
        lambda f: f.submit(),
        lambda f: f.run(reveal=True, name="kept"),
        lambda f: f.run(reveal=True, to="player-1"),
        lambda f: f.__setitem__("x", 1),
    ],
)
def test_what_is_not_built_yet_says_so_and_what_is_possible_instead(transactions, call):
    with pytest.raises(PlanError) as caught:
        call(transactions)
    assert code_of(caught) == "plan.not-built"
    assert caught.value.hint


def test_projects_wrap_each_input(b_accounts, c_accounts):
    relation = xf.join([b_accounts, c_accounts], on="account").relation
    assert all(isinstance(each, Project) for each in relation.inputs)
