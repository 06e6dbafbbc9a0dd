"""Plans that would tell an analyst what no clause grants: the judge must refuse every one of them."""

from dataclasses import replace
from decimal import Decimal

from xor.model.agreement import Agreement, Owner, Player
from xor.model.types import decimal
from xor.plan.codec import decode_plan, encode_plan
from xor.plan.place import place
from xor.plan.placed import Opened
from xor.plan.predicates import Column, Compare, Comparison, Literal
from xor.plan.relations import Concat, Filter, Join, JoinKind, Project, Relation, Scan
from xor.policy.document import Policy
from xor.policy.judge import judge
from xor.policy.parse import in_force
from xor.testing.three_banks import (
    ANALYST,
    ENTRIES,
    NETWORK,
    NOW,
    agreement,
    join,
    placed,
    policies,
    scan,
    select,
    unsafe_key,
)
from xor.wire.trust import agreement_hash

FRAME = """policy: {dataset}
valid: 2026-11-01 to 2026-12-31
zone: premises
leaves: [sealed rows]
protection: malicious, no dealer
learn: {{players: padded sizes, service: padded sizes, fraud-desk: [padded sizes, grouping by key]}}
approve: automatic
join: {{account: [{partner}], guesses: 5000000 per UTC day}}
reveal to fraud-desk: {{{reveal}}}
"""


def policy_c(partner="transactions_a.ordering_account", reveal="rows: [account]"):
    return policies({"accounts_c": FRAME.format(dataset="accounts_c", partner=partner, reveal=reveal)})


def is_allowed(plan, in_force_here, network=None):
    plan = decode_plan(encode_plan(plan))
    return judge(plan, in_force_here, network or agreement(), {}, NOW, player="player-1").is_allowed


def richer_than(amount: str) -> Relation:
    limit = Literal(Decimal(amount), decimal(18, 2))
    rich = Filter(scan("accounts_c"), Compare(Comparison.GT, Column("balance"), limit))
    return Project(rich, (("account", "account"),))


def test_a_filter_over_the_whole_table_needs_all_rows_of_its_column():
    """`rows: [balance]` is about rows that matched. Filters must not tell the balance of all the others."""
    own = policy_c(reveal="all rows: [account], rows: [balance]")
    assert not is_allowed(placed(richer_than("1000.00")), own)


def test_buckets_of_a_column_are_not_released_as_parts_of_one_plan():
    own = policy_c(reveal="all rows: [account], rows: [balance]")
    plan = placed(Concat(tuple(richer_than(f"{each}00.00") for each in range(10))))
    plan = replace(plan, placements=(*plan.placements[:-1], Opened()))
    assert not is_allowed(plan, own)


def test_rows_that_met_only_their_own_table_have_not_matched():
    """A table joined with itself gives every row back: the way around `all rows`."""
    own = policy_c(partner="any column of any dataset", reveal="rows: [account, balance]")
    for kind in (JoinKind.SEMI, JoinKind.INNER):
        twice = join(scan("accounts_c"), scan("accounts_c"), ("account", "account"), kind=kind)
        assert not is_allowed(placed(select(twice, ["account_0", "balance_0"])), own), kind


def test_a_copy_of_a_key_column_from_a_second_reading_reveals_the_key():
    """A's key is read twice, once to join on and once to show: it equals C's `account` all the same."""
    own = policy_c(reveal="rows: [balance]")
    a = Scan(ENTRIES["transactions_a"].model_copy(update={"unique": (("flag",),)}))
    first = Project(a, (("id1", "flag"), ("k", "ordering_account")))
    second = Project(a, (("id2", "flag"), ("shown", "ordering_account")))
    c = Project(scan("accounts_c"), (("c", "account"), ("balance", "balance")))
    shown = Join(
        Join(first, second, (("id1", "id2"),)), c, (("k", "c"),), JoinKind.INNER, ("shown", "balance")
    )
    assert not is_allowed(placed(shown), own)


def test_premises_of_one_owner_do_not_host_the_dataset_of_another():
    """C allows a join with bank B's accounts. Bank D's machine says that it has them."""
    now = agreement()
    network = Agreement(
        **{
            **{name: getattr(now, name) for name in Agreement.model_fields},
            "owners": (*now.owners, Owner(name="bank-d", key=unsafe_key("bank-d").public)),
            "players": (
                *now.players,
                Player(name="player-2", key=unsafe_key("player-2").public, zone="premises", owner="bank-d"),
            ),
        }
    )
    claimed = Scan(ENTRIES["accounts_b"].model_copy(update={"player": "player-2"}))
    relation = select(join(claimed, scan("accounts_c"), ("account", "account")), ["account_1"])
    plan = replace(placed(relation), agreement=agreement_hash(network))
    assert not is_allowed(plan, policy_c(partner="accounts_b.account"), network)


def test_a_dataset_of_this_machine_is_not_believed_to_be_at_another():
    """customers_c may be joined with our own accounts_c: not with what player-0 calls by that name."""
    entry = ENTRIES["accounts_c"].model_copy(update={"name": "customers_c"})
    text = FRAME.format(dataset="customers_c", partner="accounts_c.account", reveal="rows: [account, name]")
    policy = Policy(network=NETWORK, owner="bank-c", dataset="customers_c", policy_version=1, text=text)
    own = {**policies(), "customers_c": in_force(policy, entry)}
    claimed = Scan(ENTRIES["accounts_c"].model_copy(update={"player": "player-0"}))
    plan = place(
        select(join(claimed, Scan(entry), ("account", "account")), ["account_1", "name_1"]),
        network=NETWORK,
        agreement_hash=agreement_hash(agreement()),
        analyst=ANALYST,
        recipients=(ANALYST,),
        policies={"accounts_c": 1, "customers_c": 1},
        not_before=NOW - 60,
        not_after=NOW + 60,
        nonce="7" * 64,
    )
    assert not is_allowed(plan, own)
