"""What each clause allows and denies, in the words that an owner and an analyst read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from xor.errors import UsageError
from xor.plan.predicates import Column, Compare, Comparison, literal
from xor.plan.relations import Filter, JoinKind, Relation
from xor.policy.clauses import CLAUSES
from xor.policy.judge import judge
from xor.testing.three_banks import (
    ENTRIES,
    NOW,
    agreement,
    both_directions,
    join,
    literal_program,
    one_direction,
    placed,
    policies,
    scan,
    select,
)

POLICIES = Path(__file__).parents[2] / "examples" / "policies"
DAY = 86_400


@dataclass(frozen=True)
class Case:
    """A plan under the demo's policies, of which one says `new` where it said `old`."""

    title: str
    program: Relation
    dataset: str = "accounts_c"
    old: str = ""
    new: str = ""
    to: tuple[str, ...] = ()
    now: int = NOW
    spent: Mapping[str, int] = field(default_factory=dict)
    is_matched: bool = False

    def decided(self) -> str:
        texts = {name: (POLICIES / f"{name}.yaml").read_text() for name in ENTRIES}
        if self.is_matched:
            texts = {name: _with_matched_joins(name, text) for name, text in texts.items()}
        assert self.old in texts[self.dataset]
        texts[self.dataset] = texts[self.dataset].replace(self.old, self.new)
        lines = [f"# {self.title}"]
        if self.old != self.new:
            lines.append(
                f"policy of {self.dataset}: " + (self.new.strip() or f"without `{self.old.strip()}`")
            )
        try:
            known = policies(texts)
        except UsageError as error:
            return "\n".join((*lines, f"cannot be read: {error}"))
        plan = placed(self.program, *self.to, permits=(lambda _: True) if self.is_matched else None)
        decision = judge(plan, known, agreement(), self.spent, self.now)
        if decision.is_allowed:
            spends = ", ".join(f"{amount} guesses of {dataset}" for dataset, amount in decision.guesses)
            return "\n".join((*lines, f"allowed; spends {spends or 'no guesses'}"))
        refusal = re.sub(r"plan [0-9a-f]{4}…", "plan 0000…", str(decision.to_error()))
        return "\n".join((*lines, refusal))


ONE, BOTH, LITERAL = one_direction(), both_directions(), literal_program()
TABLE = select(scan("accounts_c"), ["account"])
WITH_ZIP = select(
    join(scan("transactions_a"), scan("accounts_c"), ("ordering_account", "account")), ["amount_0", "zip_1"]
)
RICH = Filter(
    scan("accounts_c"),
    Compare(Comparison.GT, Column("balance"), literal(1000, scan("accounts_c").schema["balance"].type)),
)
RICH_ONLY = select(join(scan("transactions_a"), RICH, ("ordering_account", "account")), ["amount_0"])
FILTERED = "all rows: [account]\n  rows: [balance]"
TWICE = select(join(scan("accounts_c"), scan("accounts_c"), ("account", "account")), ["account_0"])
UNPAID = select(
    join(scan("accounts_c"), scan("transactions_a"), ("account", "ordering_account"), kind=JoinKind.ANTI),
    ["account_0"],
    ["account"],
)
"""Accounts of Bank C that have ordered no payment: matched, at Bank C."""
TO_C = """reveal to player-1:
  rows: [ordering_account]
"""
WATCHED = """learn:
  players: [padded sizes, grouping by key, durations]
  service: [padded sizes, durations]
  fraud-desk: [padded sizes, grouping by key, durations]
"""


def _with_matched_joins(dataset: str, text: str) -> str:
    """The policy that lets UNPAID run."""
    added = {
        "transactions_a": f"  all rows: [ordering_account]\n\n{TO_C}",
        "accounts_c": "  all rows: [account]\n",
    }
    before, after = text.split("\nlearn:")
    return f"{before}{added.get(dataset, '')}\n{WATCHED}\napprove:{after.partition('approve:')[2]}"


AT_C = "[transactions_a.ordering_account, transactions_a.beneficiary_account]"

CASES: dict[str, tuple[Case, ...]] = {
    "policy_allow": (Case("the policy names its dataset", ONE),),
    "policy_deny": (
        Case("the policy of another dataset", ONE, old="policy: accounts_c", new="policy: accounts_b"),
        Case("a policy of no dataset", ONE, old="policy: accounts_c"),
    ),
    "purpose_allow": (Case("a purpose decides nothing", ONE, old="purpose:", new="# purpose:"),),
    "valid_allow": (
        Case("the only day", ONE, old="2026-11-01 to 2028-12-31", new="2026-11-22 to 2026-11-22"),
    ),
    "valid_deny": (
        Case("from tomorrow", ONE, old="2026-11-01 to 2028-12-31", new="2026-11-23 to 2026-12-31"),
        Case("until yesterday", ONE, old="2026-11-01 to 2028-12-31", new="2026-11-01 to 2026-11-21"),
        Case("no day at all", ONE, old="valid: 2026-11-01 to 2028-12-31"),
    ),
    "zone_allow": (Case("either zone", ONE, old="zone: premises", new="zone: [clean room, premises]"),),
    "zone_deny": (
        Case("premises, not the clean room", ONE, old="zone: premises", new="zone: clean room"),
        Case("no zone", ONE, old="zone: premises"),
        Case("attestation", ONE, old="zone: premises", new="zone: clean room attested as azure-snp-2026"),
    ),
    "leaves_allow": (Case("sealed rows", ONE),),
    "leaves_deny": (
        Case("nothing leaves to a player", UNPAID, "transactions_a", "[sealed rows]", "[]", is_matched=True),
        Case("nothing leaves", ONE, old="leaves: [sealed rows]", new="leaves: []"),
        Case("shares", ONE, old="leaves: [sealed rows]", new="leaves: [shares, sealed rows]"),
        Case("plaintext", ONE, old="leaves: [sealed rows]", new="leaves: plaintext"),
    ),
    "protection_allow": (
        Case(
            "both forms",
            ONE,
            old="protection: malicious, no dealer",
            new="protection: {adversary: malicious, dealer: none}",
        ),
        Case("a simulation, on its last day", ONE, "accounts_b", "until: 2028-12-31", "until: 2026-11-22"),
    ),
    "protection_deny": (
        Case("no matched join", UNPAID, old="protection: malicious, no dealer", is_matched=True),
        Case("no private join", ONE, old="protection: malicious, no dealer"),
        Case("a simulation, a day late", ONE, "accounts_b", "until: 2028-12-31", "until: 2026-11-21"),
        Case("a simulation without a reason", ONE, "accounts_b", "reason: ", "because: "),
        Case("semi-honest", ONE, old="malicious, no dealer", new="semi-honest, no dealer"),
    ),
    "join_allow": (
        Case("one direction", ONE),
        Case("both directions, each guess counted", BOTH, old="5000000", new="137904"),
        Case("any column of the other table", ONE, old=AT_C, new="any column of transactions_a"),
    ),
    "join_deny": (
        Case("no guesses, to the receiver", UNPAID, "transactions_a", "5000000", "0", is_matched=True),
        Case("a column that is no key", BOTH, old=AT_C, new="[transactions_a.ordering_account]"),
        Case("another table alongside", ONE, old="  alongside: [accounts_b]\n"),
        Case("one guess too few", BOTH, old="5000000", new="137903"),
        Case("guesses spent on the same day", ONE, spent={"accounts_c": 4_990_000}),
        Case("no guesses", ONE, old="  guesses: 5000000 per UTC day\n"),
        Case("fuzzy keys", ONE, old="alongside:", new="fuzzy:"),
    ),
    "reveal_allow": (
        Case("the columns that are named", ONE),
        Case("the whole table", TABLE, old="rows: [account]", new="all rows: [account]"),
        Case("matching rows to a player", UNPAID, "transactions_a", TO_C, TO_C, is_matched=True),
    ),
    "reveal_deny": (
        Case("rows to a player that no clause names", UNPAID, "transactions_a", TO_C, "", is_matched=True),
        Case(
            "rows to a player, other columns",
            UNPAID,
            "transactions_a",
            TO_C,
            TO_C.replace("ordering_account", "amount, flag"),
            is_matched=True,
        ),
        Case(
            "rows to an analyst, not to a player",
            UNPAID,
            "transactions_a",
            "to player-1",
            "to auditors",
            is_matched=True,
        ),
        Case("every column", LITERAL),
        Case("one column too many", WITH_ZIP),
        Case("to somebody who is not named", ONE, to=("fraud-desk", "auditors")),
        Case("a column that decides which rows appear", RICH_ONLY),
        Case("a whole table", TABLE),
        Case("a filter over a whole table", select(RICH, ["account"]), old="rows: [account]", new=FILTERED),
        Case("a table joined with itself", TWICE, old=AT_C, new="any column of accounts_c"),
        Case("aggregates", ONE, old="rows: [account]", new="aggregates: [balance]"),
        Case("a column that does not exist", ONE, old="rows: [account]", new="rows: [acount]"),
    ),
    "learn_allow": (
        Case("sizes and grouping", ONE),
        Case("durations, and grouping to the players", UNPAID, old=WATCHED, new=WATCHED, is_matched=True),
    ),
    "learn_deny": (
        Case("durations", UNPAID, old=", durations", new="", is_matched=True),
        Case(
            "grouping by key, to the players",
            UNPAID,
            "transactions_a",
            "players: [padded sizes, grouping by key, durations]",
            "players: [padded sizes, durations]",
            is_matched=True,
        ),
        Case("sizes, to the players", ONE, old="  players: padded sizes\n"),
        Case("grouping by key", ONE, old="[padded sizes, grouping by key]", new="padded sizes"),
        Case("join sizes", ONE, old="players: padded sizes", new="players: join size"),
    ),
    "approve_allow": (Case("automatic", ONE),),
    "approve_deny": (
        Case("nobody", ONE, old="approve: automatic"),
        Case("persons", ONE, old="approve: automatic", new="approve: {fraud-desk: 2 of 3}"),
    ),
    "unknown_deny": (
        Case("never", ONE, old="approve:", new="never: [name, street]\napprove:"),
        Case("budget", ONE, old="approve:", new="budget: 20 runs per UTC day\napprove:"),
        Case("misspelt", ONE, old="approve:", new="aprove:"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_decisions_are_as_reviewed(name: str, golden: Callable[[str, str], None]) -> None:
    decided = [case.decided() for case in CASES[name]]
    for each in decided:
        assert ("\nallowed; " in each) is name.endswith("_allow"), each
    golden(f"policy/{name}.txt", "\n\n".join(decided) + "\n")


def test_every_clause_has_decisions_that_allow_and_deny() -> None:
    missing = {f"{clause.word}_{way}" for clause in CLAUSES for way in ("allow", "deny")} - CASES.keys()
    assert missing == {"purpose_deny"}
