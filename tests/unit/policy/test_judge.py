"""The judge allows what the clauses say and nothing else, and says what would change its mind."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from xor.errors import PolicyDenied, UsageError
from xor.model.agreement import Agreement
from xor.model.disclosure import Disclosure, Party, Role, Subject
from xor.model.types import TEXT, decimal
from xor.plan.predicates import Column as ColumnOf
from xor.plan.predicates import Compare, Comparison, Literal
from xor.plan.relations import Filter, JoinKind
from xor.policy import judge as judge_module
from xor.policy.clauses import CLAUSES
from xor.policy.document import Policy
from xor.policy.judge import judge
from xor.policy.parse import in_force, with_grant
from xor.signing import encode
from xor.testing.three_banks import (
    ENTRIES,
    NETWORK,
    NOW,
    agreement,
    both_directions,
    expired,
    join,
    literal_program,
    one_direction,
    placed,
    policies,
    scan,
    select,
)
from xor.wire.messages import Refusal

DAY = 86_400
GUESSES = 68_952
"""What a partner with 20,480 rows may test if it cheats in `vole`."""
EMPTY = {name: f"policy: {name}\nvalid: 2026-11-01 to 2026-12-01" for name in ENTRIES}
SENSIBLE = {
    name: (Path(__file__).parents[3] / "examples" / "policies" / f"{name}.yaml").read_text()
    for name in ENTRIES
}


def decide(relation, texts=None, *, spent=None, now=NOW, player=None, version=1):
    return judge(placed(relation), policies(texts, version), agreement(), spent or {}, now, player=player)


def one_table(columns=("account",)):
    return select(scan("accounts_c"), columns)


def filtered(source, column, literal):
    return Filter(source, Compare(Comparison.GT, ColumnOf(column), literal))


PROGRAMS = {
    "literal": literal_program(),
    "one direction": one_direction(),
    "both directions": both_directions(),
    "one table": one_table(),
    "filtered": filtered(one_table(), "account", Literal("x", TEXT)),
    **{
        kind.value: join(one_table(), scan("transactions_a"), ("account", "ordering_account"), kind=kind)
        for kind in JoinKind
        if kind is not JoinKind.ANTI
    },
}


def test_each_kind_of_disclosure_is_decided_by_exactly_one_clause():
    for subject in Subject:
        assert sum(subject in clause.subjects for clause in CLAUSES) == 1, subject


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_permissive_policy_allows_every_program(program):
    assert decide(PROGRAMS[program]).violations == ()


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_empty_policy_denies_every_disclosure(program):
    plan = placed(PROGRAMS[program])
    decision = judge(plan, policies(EMPTY), agreement(), {}, NOW)
    denied = {each.disclosure for each in decision.violations} - {None}
    assert denied == set(judge_module.disclosures(plan, agreement()))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("texts", [EMPTY, SENSIBLE], ids=["empty", "sensible"])
def test_the_suggested_grants_make_a_refused_plan_pass(program, texts):
    refused = decide(PROGRAMS[program], texts)
    granted = {name: with_grant(texts[name], text) for name, text in refused.grants.items()}
    assert decide(PROGRAMS[program], {**texts, **granted}).violations == ()


@pytest.mark.parametrize("program", ["literal", "one table", "left"])
def test_a_suggested_grant_is_the_smallest(program):
    """Without any one of its lines the plan is refused again."""
    refused = decide(PROGRAMS[program], EMPTY)
    for name, text in refused.grants.items():
        lines = text.splitlines()
        for line in lines:
            others = {each: with_grant(EMPTY[each], grant) for each, grant in refused.grants.items()}
            others[name] = with_grant(EMPTY[name], "\n".join(each for each in lines if each != line))
            assert not decide(PROGRAMS[program], others).is_allowed, line


def test_a_machine_judges_for_its_own_datasets_only():
    decision = decide(one_direction(), {"accounts_b": EMPTY["accounts_b"]}, player="player-1")
    assert decision.is_allowed
    assert [each.dataset for each in decision.approved] == ["accounts_c"]
    assert dict(decision.guesses) == {"accounts_c": GUESSES}


def test_whole_tables_need_more_than_a_grant_of_matching_rows():
    rows = with_grant(SENSIBLE["accounts_c"], "reveal to fraud-desk: {rows: [account]}")
    refused = decide(one_table(), {"accounts_c": rows})
    assert refused.grants == {"accounts_c": "reveal to fraud-desk: {all rows: [account]}"}


def test_a_filter_does_not_turn_a_whole_table_into_matching_rows():
    """Else a condition that is always true would be the way around `all rows`."""
    always = filtered(one_table(), "account", Literal("", TEXT))
    kept = join(always, scan("transactions_a"), ("account", "ordering_account"), kind=JoinKind.LEFT)
    for relation in (always, select(kept, ["account_0", "amount_1"])):
        refused = decide(relation, {"accounts_c": SENSIBLE["accounts_c"]})
        assert refused.grants == {"accounts_c": "reveal to fraud-desk: {all rows: [account]}"}


def test_rows_without_a_match_need_more_than_a_grant_of_matching_rows():
    accounts = select(scan("accounts_b"), ["account"])
    unmatched = join(accounts, scan("transactions_a"), ("account", "ordering_account"), kind=JoinKind.ANTI)
    refused = decide(unmatched, {"accounts_b": SENSIBLE["accounts_b"]})
    assert "reveal to fraud-desk: {all rows: [account]}" in refused.grants["accounts_b"].splitlines()


def test_what_a_filter_reads_must_be_revealed():
    condition = filtered(scan("accounts_c"), "balance", Literal(Decimal("1.00"), decimal(18, 2)))
    relation = select(join(payments(), condition, ("ordering_account", "account")), ["amount_0"])
    refused = decide(relation, SENSIBLE)
    assert refused.grants["accounts_c"] == "reveal to fraud-desk: {rows: [balance]}"
    assert "would depend on column 'balance' of 'accounts_c'" in str(refused.to_error())


def payments():
    return select(scan("transactions_a"), ["ordering_account", "amount"])


def test_that_rows_match_is_revealed_too():
    """No column of A is in the result, nor equals one; yet its payments decide which rows of B appear."""
    joined = join(scan("accounts_b"), scan("transactions_a"), ("account", "beneficiary_account"))
    text = SENSIBLE["transactions_a"].replace("reveal to fraud-desk:", "reveal to auditors:")
    refused = decide(select(joined, ["balance_0"]), {"transactions_a": text})
    assert refused.grants == {"transactions_a": "reveal to fraud-desk: {rows: []}"}
    assert "which rows match in 'transactions_a'" in str(refused.to_error())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"not_after": NOW}, "plan.agreement-expired"),
        ({"not_before": NOW + 1}, "plan.agreement-expired"),
        ({"network": "other"}, "plan.other-network"),
    ],
)
def test_a_plan_needs_an_agreement_of_its_network_that_is_in_force(change, code):
    other = agreement().model_copy(update=change)
    decision = judge(placed(one_direction()), policies(SENSIBLE), other, {}, NOW)
    assert [each.code for each in decision.violations] == [code]


@pytest.mark.parametrize("change", [{"owner": "bank-a"}, {"dataset": "accounts_b"}, {"network": "other"}])
def test_a_policy_is_in_force_for_its_owners_dataset_only(change):
    binding = {"network": NETWORK, "owner": "bank-c", "dataset": "accounts_c", "policy_version": 1}
    policy = Policy(**{**binding, **change}, text=SENSIBLE["accounts_c"])
    with pytest.raises(UsageError) as raised:
        in_force(policy, ENTRIES["accounts_c"])
    assert raised.value.code == "policy.other-dataset"


def test_guesses_of_one_plan_are_summed_over_its_joins():
    limit = SENSIBLE["accounts_c"].replace("5000000", str(2 * GUESSES - 1))
    refused = decide(both_directions(), {**SENSIBLE, "accounts_c": limit})
    assert refused.grants == {"accounts_c": f"join: {{guesses: {2 * GUESSES} per UTC day}}"}
    assert decide(one_direction(), {**SENSIBLE, "accounts_c": limit}).is_allowed


def test_guesses_spent_on_the_day_count():
    assert decide(one_direction(), SENSIBLE, spent={"accounts_c": 5_000_000 - GUESSES}).is_allowed
    refused = decide(one_direction(), SENSIBLE, spent={"accounts_c": 5_000_000 - GUESSES + 1})
    assert refused.grants == {"accounts_c": "join: {guesses: 5000001 per UTC day}"}
    assert "wait for the next UTC day" in (refused.to_error().hint or "")


@pytest.mark.parametrize(("now", "is_valid"), [(-1, False), (0, True), (2 * DAY - 1, True), (2 * DAY, False)])
def test_a_policy_is_valid_from_the_first_to_the_last_second_of_its_days(now, is_valid):
    first = NOW - NOW % DAY
    text = SENSIBLE["accounts_c"].replace("2026-11-01 to 2028-12-31", "2026-11-22 to 2026-11-23")
    plan = placed(one_direction())
    plan = plan.__class__(**{**_fields(plan), "not_before": first - DAY, "not_after": first + 5 * DAY})
    open_ended = Agreement.model_validate(agreement().model_dump() | {"not_before": 0})
    decision = judge(plan, policies({**SENSIBLE, "accounts_c": text}), open_ended, {}, first + now)
    assert decision.is_allowed is is_valid or {each.dataset for each in decision.violations} != {"accounts_c"}
    clauses = {each.clause for each in decision.violations if each.dataset == "accounts_c"}
    assert clauses == (set() if is_valid else {"valid"})


def _fields(plan):
    return {name: getattr(plan, name) for name in plan.__dataclass_fields__}


def test_a_simulated_clean_room_ends_with_its_day():
    text = SENSIBLE["transactions_a"].replace("until: 2028-12-31", "until: 2026-11-21")
    refused = decide(one_direction(), {**SENSIBLE, "transactions_a": text})
    assert [each.clause for each in refused.violations] == ["protection"]
    assert "NO HARDWARE PROTECTION" in refused.violations[0].reason
    today = text.replace("2026-11-21", "2026-11-22")
    assert decide(one_direction(), {**SENSIBLE, "transactions_a": today}).is_allowed


def test_a_plan_is_valid_for_a_week_at_most():
    week = {"not_before": NOW - DAY, "not_after": NOW + 6 * DAY}
    plan = placed(one_direction())
    assert judge(replace(plan, **week), policies(SENSIBLE), agreement(), {}, NOW).is_allowed
    longer = replace(plan, **week | {"not_after": NOW + 6 * DAY + 1})
    refused = judge(longer, policies(SENSIBLE), agreement(), {}, NOW)
    assert [each.code for each in refused.violations] == ["plan.too-long"]


def test_the_texts_of_a_refusal_are_bounded():
    columns = tuple({"name": "c" * 200 + str(n), "type": "int64", "max_bytes": None} for n in range(100))
    table = scan("accounts_c", columns=columns, unique=())
    text = EMPTY["accounts_c"]
    policy = Policy(network=NETWORK, owner="bank-c", dataset="accounts_c", policy_version=1, text=text)
    known = {"accounts_c": in_force(policy, table.dataset)}
    refused = judge(placed(table), known, agreement(), {}, NOW)
    assert all(len(each) <= 500 for each in refused.to_error().violations)
    assert any("and 88 more" in each.reason for each in refused.violations)


def test_premises_are_only_those_of_the_owner():
    stolen = scan("accounts_b", player="player-1")
    entry = stolen.dataset
    text = SENSIBLE["accounts_b"].replace("zone: clean room", "zone: premises")
    policy = Policy(network=NETWORK, owner="bank-b", dataset="accounts_b", policy_version=1, text=text)
    plan = placed(select(stolen, ["account"]))
    decision = judge(plan, {"accounts_b": in_force(policy, entry)}, agreement(), {}, NOW)
    assert any("premises of bank-c" in each.reason and each.grant is None for each in decision.violations)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("plan.expired", lambda plan, known: (expired(plan), known)),
        ("policy.missing", lambda plan, known: (plan, {})),
        ("plan.stale-policy", lambda plan, known: (plan, policies(SENSIBLE, version=2))),
        (
            "plan.stale-entry",
            lambda plan, known: (placed(scan("accounts_c", rows=10)), known),
        ),
        ("plan.unknown-analyst", lambda plan, known: (placed(one_table(), "mallory"), known)),
        ("plan.unknown-player", lambda plan, known: (placed(scan("accounts_c", player="nowhere")), known)),
        ("plan.unknown-owner", lambda plan, known: (placed(scan("accounts_c", owner="bank-x")), known)),
    ],
)
def test_a_plan_that_is_out_of_order_is_refused_by_name_and_without_a_grant(code, change):
    plan, known = change(placed(one_table()), policies(SENSIBLE))
    decision = judge(plan, known, agreement(), {}, NOW)
    assert code in {each.code for each in decision.violations}
    assert decision.grant is None
    assert decision.approved == ()
    assert decision.guesses == ()


def test_a_disclosure_that_no_clause_decides_on_is_denied(monkeypatch):
    monkeypatch.setattr(judge_module, "_responsible", lambda clauses, subject: None)
    decision = decide(one_direction())
    assert decision.violations
    assert all("no clause decides" in each.reason for each in decision.violations)


def test_a_disclosure_about_a_dataset_of_no_policy_is_denied(monkeypatch):
    stray = Disclosure(0, Subject.SIZES, "elsewhere", Party(Role.SERVICE, "service"))
    monkeypatch.setattr(judge_module, "disclosures", lambda plan, agreement: (stray,))
    assert [each.dataset for each in decide(one_table()).violations] == ["elsewhere"]


def test_any_column_of_one_dataset_is_not_any_column_of_another():
    named = SENSIBLE["accounts_c"].replace(
        "[transactions_a.ordering_account, transactions_a.beneficiary_account]", "[any column of {}]"
    )
    assert decide(one_direction(), {**SENSIBLE, "accounts_c": named.format("transactions_a")}).is_allowed
    refused = decide(one_direction(), {**SENSIBLE, "accounts_c": named.format("transactions")})
    assert refused.grants == {"accounts_c": "join: {account: [transactions_a.ordering_account]}"}


def test_a_refusal_reads_as_the_documentation_promises():
    joined = join(payments(), scan("accounts_c"), ("ordering_account", "account"))
    error = decide(select(joined, ["amount_0", "zip_1"]), {"accounts_c": SENSIBLE["accounts_c"]}).to_error()
    assert isinstance(error, PolicyDenied)
    headline, *others = str(error).splitlines()
    assert re.fullmatch(
        r"\[policy.denied\]: bank-c refuses plan [0-9a-f]{4}… at step \d+ "
        r"\(sealed join of player-0 and player-1\)\.",
        headline,
    )
    assert others == [
        "  hint: drop the column:  frame.drop('zip_1')",
        "  column 'zip' of 'accounts_c' would be revealed as rows to analyst 'fraud-desk'; "
        "clause 'reveal' allows rows: account.",
        "  smallest grant that would allow it:  reveal to fraud-desk: {rows: [zip]}",
    ]


def test_the_service_can_carry_the_largest_refusal():
    columns = tuple({"name": f"column_{n}", "type": "int64", "max_bytes": None} for n in range(1000))
    table = scan("accounts_c", columns=columns, unique=())
    policy = Policy(
        network=NETWORK, owner="bank-c", dataset="accounts_c", policy_version=1, text=EMPTY["accounts_c"]
    )
    known = {"accounts_c": in_force(policy, table.dataset)}
    error = judge(placed(table), known, agreement(), {}, NOW).to_error("player-1")
    refusal = Refusal(
        network=NETWORK,
        plan=error.job_id or "",
        player="player-1",
        kind="PolicyDenied",
        code=error.code,
        message=error.message,
        hint=error.hint,
        violations=error.violations,
        grant=error.grant,
    )
    assert refusal.grant is None
    assert len(encode(refusal)) < 2**20


MATCHED = {
    "anti": join(one_table(), scan("transactions_a"), ("account", "ordering_account"), kind=JoinKind.ANTI),
    "compared": select(
        Filter(
            join(scan("transactions_a"), scan("accounts_c"), ("ordering_account", "account")),
            Compare(Comparison.GT, ColumnOf("amount_0"), ColumnOf("balance_1")),
        ),
        ["amount_0"],
    ),
}


def decide_matched(program, texts=None, known=None):
    plan = placed(MATCHED[program], permits=lambda _: True)
    return judge(plan, policies(texts), known or agreement(), {}, NOW)


@pytest.mark.parametrize("program", MATCHED)
@pytest.mark.parametrize("texts", [EMPTY, SENSIBLE], ids=["empty", "sensible"])
def test_the_suggested_grants_make_a_refused_matched_join_pass(program, texts):
    refused = decide_matched(program, texts)
    granted = {name: with_grant(texts[name], text) for name, text in refused.grants.items()}
    assert decide_matched(program, {**texts, **granted}).violations == ()


def test_a_permissive_policy_reveals_rows_to_no_player():
    refused = decide_matched("anti")
    assert {each.clause for each in refused.violations} == {"reveal"}
    assert refused.grants == {"transactions_a": "reveal to player-1: {rows: [ordering_account]}"}


@pytest.mark.parametrize("program", MATCHED)
def test_a_suggested_grant_of_a_matched_join_is_the_smallest(program):
    grants = decide_matched(program, EMPTY).grants
    for name, text in grants.items():
        lines = text.splitlines()
        for line in lines:
            less = {**grants, name: "\n".join(each for each in lines if each != line)}
            texts = {each: with_grant(EMPTY[each], grant) for each, grant in less.items()}
            assert not decide_matched(program, {**EMPTY, **texts}).is_allowed, line


@pytest.mark.parametrize(("program", "receiver"), [("anti", "player-1"), ("compared", "player-0")])
def test_a_grant_to_an_analyst_is_none_to_a_player_nor_the_other_way_round(program, receiver):
    grants = decide_matched(program, EMPTY).grants
    for one, other in ((receiver, "auditors"), ("fraud-desk", "auditors")):
        swapped = {
            name: with_grant(EMPTY[name], text.replace(f"reveal to {one}:", f"reveal to {other}:"))
            for name, text in grants.items()
        }
        refused = decide_matched(program, {**EMPTY, **swapped})
        assert {each.disclosure.to.name for each in refused.violations} == {one}


def test_a_name_that_two_members_share_is_granted_nothing():
    """An agreement cannot say so; if one did, a grant would not say whom it means."""
    granted = {"transactions_a": with_grant(policies()["transactions_a"].policy.text, TO_PLAYER)}
    assert decide_matched("anti", granted).is_allowed
    known = agreement()
    namesake = known.analysts[1].model_copy(update={"name": "player-1"})
    shared = known.model_copy(update={"analysts": (*known.analysts, namesake)})
    refused = decide_matched("anti", granted, shared)
    assert {each.clause for each in refused.violations} == {"reveal"}
    with pytest.raises(ValueError, match="share a name"):
        Agreement.model_validate(shared.model_dump())


TO_PLAYER = "reveal to player-1: {rows: [ordering_account]}"
