"""What no sealed join can do runs where policies let one player see the matching rows."""

import pyarrow as pa
import pytest

from xor import dataframe as xf
from xor.errors import PlanError
from xor.plan.placed import Matched
from xor.policy.parse import with_grant
from xor.testing.answering import AnsweringService
from xor.testing.three_banks import policies

GRANT = """\
reveal to player-0: {rows: [account, balance]}
protection: {adversary: malicious, dealer: none, simulated clean room: {until: 2027-01-01, reason: a test}}
"""


def _grant(service: AnsweringService, dataset: str, grant: str) -> None:
    """Adds to the permissive policy of a dataset, before any client has read it."""
    service.texts = {**service.texts, dataset: with_grant(policies()[dataset].policy.text, grant)}


@pytest.fixture
def granting(service: AnsweringService) -> AnsweringService:
    _grant(service, "accounts_c", GRANT)
    return service


def test_an_anti_join_runs_where_policies_allow_a_matched_one(
    granting: AnsweringService, b_accounts: xf.Frame, c_accounts: xf.Frame
) -> None:
    unknown = xf.join([b_accounts, c_accounts], on="account", how="anti").select(["account_0"])
    assert unknown.check()
    assert "player-0 gets the matching rows of player-1" in " ".join(unknown.explain().text.split())
    granting.tables = {4: pa.table({"account_0": ["CH_1", None]})}
    found = unknown.run(reveal=True).reveal(as_="arrow")
    assert sorted(found.column("account_0").to_pylist(), key=str) == ["CH_1", None]


@pytest.mark.usefixtures("granting")
def test_a_frame_of_more_columns_than_are_granted_may_still_be_narrowed(
    b_accounts: xf.Frame, c_accounts: xf.Frame
) -> None:
    both = xf.join([b_accounts, c_accounts], on="account")
    richer = both[both["balance_0"] > both["balance_1"]]
    refused = richer.check()
    assert not refused
    assert "reveal to player-0: {rows: [city, country, name, street, zip]}" in str(refused.grant)
    assert richer.select(["account_0"]).check()


def test_a_player_that_no_policy_names_is_refused_when_the_frame_is_built(
    service: AnsweringService, b_accounts: xf.Frame, c_accounts: xf.Frame
) -> None:
    assert not service.texts
    with pytest.raises(PlanError, match="anti join") as caught:
        xf.join([b_accounts, c_accounts], on="account", how="anti")
    assert caught.value.code == "plan.not-built"
    assert "reveal to player-0" in str(caught.value.hint)


@pytest.mark.usefixtures("granting")
def test_the_receiver_is_the_player_that_policies_name(
    client: xf.Client, b_accounts: xf.Frame, c_accounts: xf.Frame
) -> None:
    both = xf.join([c_accounts, b_accounts], on="account")
    richer = both[both["balance_0"] > both["balance_1"]].select(["account_0"])
    plan = client._draft(richer, None, client.known())
    assert [each.placement.at for each in plan.exchanges] == ["player-0"]
    assert isinstance(plan.exchanges[0].placement, Matched)
