"""What one member may cost: judging plans and reading policies stay cheap whatever is sent."""

import contextlib
import time
from dataclasses import replace

from xor.errors import XorError
from xor.plan.limits import MAX_MATCHES
from xor.plan.placed import Matched, Plaintext, Sealed, opener_of
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan, post_order
from xor.policy.judge import judge
from xor.policy.parse import parse
from xor.testing.three_banks import ENTRIES, NOW, agreement, placed, policies, scan, select

PATIENCE_S = 5.0
"""Far more than any of these needs on a slow computer."""


def seconds_of(work):
    start = time.perf_counter()
    with contextlib.suppress(XorError):
        work()
    return time.perf_counter() - start


def test_judging_a_plan_of_invented_datasets_is_quick():
    """Datasets at another player cost the analyst a line each; keys times origins times origins cost us."""
    a = ENTRIES["transactions_a"]
    fakes = [Scan(a.model_copy(update={"name": f"f{each}"})) for each in range(240)]
    keys = tuple((f"l{each}", f"r{each}") for each in range(800))
    left = Project(Concat(tuple(fakes[:120])), tuple((one, "ordering_account") for one, _ in keys))
    right = Project(Concat(tuple(fakes[120:])), tuple((other, "ordering_account") for _, other in keys))
    local = Project(Join(left, right, keys, JoinKind.SEMI), (("k", "l0"),))
    root = Join(local, scan("accounts_c"), (("k", "account"),), JoinKind.INNER, ("balance",))
    small = placed(select(scan("accounts_c"), ["balance"]))
    plan = replace(
        small,
        root=root,
        placements=(
            *(Plaintext("player-0") for _ in post_order(local)),
            Plaintext("player-1"),
            Sealed(("player-0", "player-1"), opener_of(root), "dh"),
        ),
        policies=tuple((name, 1) for name in sorted(each.name for each in root.datasets)),
    )
    took = seconds_of(lambda: judge(plan, policies(), agreement(), {}, NOW, player="player-1"))
    assert took < PATIENCE_S


def test_a_long_list_in_a_policy_is_read_quickly():
    """Machines read policies at every heartbeat and every judgement, clients before every question."""
    columns = ", ".join(f"{each:x}" for each in range(19_000))
    text = f"policy: x\nvalid: 2026-01-01 to 2027-01-01\nreveal to a: {{rows: [{columns}]}}\n"
    assert seconds_of(lambda: parse(text)) < PATIENCE_S


def test_a_plan_that_is_valid_for_a_thousand_years_is_refused():
    """`not_after` is all that ends a worker whose peer stalls, or whose local join never does."""
    plan = replace(placed(select(scan("accounts_c"), ["account"])), not_after=2**52)
    assert not judge(plan, policies(), agreement(), {}, NOW, player="player-1").is_allowed


def test_judging_matched_joins_on_top_of_each_other_is_quick():
    """All that is below one is looked at again for it: wide tables, as many joins as a plan may have."""
    c = ENTRIES["accounts_c"]
    columns = tuple(
        c.columns[0].model_copy(update={"name": f"c{each}", "max_bytes": 1}) for each in range(1000)
    )
    wide = Scan(ENTRIES["transactions_a"].model_copy(update={"columns": columns, "unique": ()}))
    root: Relation = wide
    for each in range(MAX_MATCHES):
        other = Scan(c.model_copy(update={"name": f"f{each}"}))
        root = Join(root, other, (("c0", "account"),), JoinKind.ANTI)
    small = placed(select(scan("accounts_c"), ["balance"]))
    plan = replace(
        small,
        root=root,
        placements=(
            Plaintext("player-0"),
            *(each for _ in range(MAX_MATCHES) for each in (Plaintext("player-1"), AT_PLAYER_0)),
        ),
        policies=tuple((name, 1) for name in sorted(each.name for each in root.datasets)),
    )
    decisions = []
    took = seconds_of(
        lambda: decisions.append(judge(plan, policies(), agreement(), {}, NOW, player="player-1"))
    )
    assert took < PATIENCE_S
    assert decisions
    assert {each.code for each in decisions[0].violations} != {"plan.too-large"}


AT_PLAYER_0 = Matched(("player-0", "player-1"), 0, "vole")
