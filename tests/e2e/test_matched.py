"""Matched joins over real processes: where policies name a machine, what no sealed join can do runs there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from tests.e2e.conftest import bring_up

from xor import dataframe as xf
from xor import session
from xor.errors import PlanError
from xor.testing.local import LocalNetwork

A = """
policy: transactions_a
purpose: Find payments that look like fraud
valid: 2026-11-01 to 2028-12-31
zone: clean room
leaves: [sealed rows]
protection: {adversary: malicious, dealer: none, simulated clean room: {until: 2028-12-31, reason: a test}}
join:
  ordering_account: [accounts_c.account]
  amount: [accounts_c.balance]
  guesses: 5000000 per UTC day
reveal to fraud-desk:
  rows: [ordering_account, amount]
  all rows: [ordering_account, amount]
learn:
  players: [padded sizes, durations]
  service: [padded sizes, durations]
  fraud-desk: [padded sizes, grouping by key, durations]
approve: automatic
"""
C = """
policy: accounts_c
purpose: Find payments that look like fraud
valid: 2026-11-01 to 2028-12-31
zone: premises
leaves: [sealed rows]
protection: {adversary: malicious, dealer: none, simulated clean room: {until: 2028-12-31, reason: a test}}
join:
  account: [transactions_a.ordering_account]
  balance: [transactions_a.amount]
  guesses: 5000000 per UTC day
reveal to player-0:
  rows: [account, balance]
reveal to fraud-desk:
  rows: [account, balance]
  all rows: [account]
learn:
  players: [padded sizes, grouping by key, durations]
  service: [padded sizes, durations]
  fraud-desk: [padded sizes, grouping by key, durations]
approve: automatic
"""
B = (Path(__file__).parents[2] / "examples" / "policies" / "accounts_b.yaml").read_text()


@pytest.fixture(scope="module")
def matching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    before = os.environ.get("XOR_HOME")
    policies = tmp_path_factory.mktemp("policies")
    for name, text in (("transactions_a", A), ("accounts_b", B), ("accounts_c", C)):
        (policies / f"{name}.yaml").write_text(text)
    up = bring_up(tmp_path_factory.mktemp("matching"), policies)
    yield up
    up.down(lambda _text: None)
    os.environ.pop("XOR_HOME")
    if before is not None:
        os.environ["XOR_HOME"] = before


@pytest.fixture(scope="module")
def tables(matching: LocalNetwork) -> Iterator[tuple[xf.Frame, xf.Frame]]:
    with session.open_session("localhost", matching.port, api_token="*", use_ssl=False):
        client = xf.Client("two-parties", "localhost", matching.port, "*", False)
        payments = xf.use("transactions_a", "player-0", client=client).select(["ordering_account", "amount"])
        accounts = xf.use("accounts_c", "player-1", client=client).select(["account", "balance"])
        yield payments, accounts


def files(network: LocalNetwork) -> tuple[pd.DataFrame, pd.DataFrame]:
    payments, accounts = (
        pd.read_csv(network.file.parent / f"{name}.csv", dtype=str)
        for name in ("transactions_a", "accounts_c")
    )
    return payments[["ordering_account", "amount"]], accounts[["account", "balance"]]


def test_payments_from_accounts_that_the_other_bank_does_not_know(matching, tables):
    payments, accounts = tables
    result = xf.join(
        [payments, accounts], on=[["ordering_account"], ["account"]], how="anti", suffixes="clash"
    ).run(reveal=True)
    of_a, of_c = files(matching)
    expected = of_a[~of_a["ordering_account"].isin(of_c["account"].dropna())]
    assert 0 < len(expected) < len(of_a)
    found = result.reveal()
    assert sorted(map(str, found["ordering_account"])) == sorted(
        map(str, expected["ordering_account"].where(expected["ordering_account"].notna(), "<NA>"))
    )
    assert "player-0 gets the matching rows of player-1 in plaintext" in str(result.explanation)


def test_payments_that_their_account_covers(matching, tables):
    payments, accounts = tables
    joined = xf.join([payments, accounts], on=[["ordering_account"], ["account"]], suffixes="clash")
    found = joined.filter(joined["amount"] <= joined["balance"]).run(reveal=True).reveal()
    of_a, of_c = files(matching)
    merged = of_a.dropna(subset="ordering_account").merge(
        of_c, left_on="ordering_account", right_on="account"
    )
    expected = merged[pd.to_numeric(merged["amount"]) <= pd.to_numeric(merged["balance"])]
    assert len(expected) > 0
    assert sorted(found["account"]) == sorted(expected["account"])


def test_without_the_grant_it_is_refused_and_the_grant_is_named(tables):
    payments, accounts = tables
    with pytest.raises(PlanError, match="not built") as refused:
        xf.join([accounts, payments], on=[["account"], ["ordering_account"]], how="anti").run(reveal=True)
    assert "reveal to player-1" in str(refused.value.hint)
