"""What a client believes of a network: only what its members signed."""

from dataclasses import replace
from pathlib import Path

import pytest

from xor.errors import AuthError, UsageError
from xor.session.known import signing_key, verify_network
from xor.session.profile import Profile
from xor.testing import answering
from xor.testing.answering import AnsweringService
from xor.testing.three_banks import NETWORK, NOW, unsafe_key


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return answering.profile(tmp_path)


def test_datasets_and_players_are_known_by_name(service, profile):
    known = verify_network(service.network(NETWORK), NETWORK, profile, NOW)
    assert known.dataset("accounts_c", "player-1").owner == "bank-c"
    assert known.online == {"transactions_a", "accounts_b", "accounts_c"}


@pytest.mark.parametrize(
    ("dataset", "player", "told"),
    [
        ("acounts_c", "player-1", ["usage.unknown-dataset", "did you mean 'accounts_c'"]),
        ("accounts_c", "player-l", ["usage.unknown-player", "did you mean 'player-"]),
        ("accounts_c", "player-0", ["usage.unknown-dataset", "it is at 'player-1'"]),
        ("'; drop table x --", "player-0", ["usage.unknown-dataset", "It has: transactions_a"]),
    ],
)
def test_an_unknown_name_lists_the_near_ones(service, profile, dataset, player, told):
    known = verify_network(service.network(NETWORK), NETWORK, profile, NOW)
    with pytest.raises(UsageError) as caught:
        known.dataset(dataset, player)
    assert all(each in str(caught.value) for each in told)


def test_an_unknown_recipient_lists_the_analysts(service, profile):
    known = verify_network(service.network(NETWORK), NETWORK, profile, NOW)
    assert known.recipients(["auditors", "auditors"]) == ("auditors",)
    with pytest.raises(UsageError, match="'auditors'"):
        known.recipients(["auditor"])


def test_an_unknown_network_lists_the_near_ones(service, profile):
    with pytest.raises(UsageError, match="did you mean 'two-parties'") as caught:
        verify_network(service.network(NETWORK), "two-partys", profile, NOW)
    assert caught.value.code == "usage.unknown-network"
    with pytest.raises(UsageError, match="xor local up"):
        verify_network(service.network(NETWORK), NETWORK, replace(profile, networks={}), NOW)


def test_another_agreement_than_the_pinned_one_is_refused(service, profile):
    other = replace(profile, networks={NETWORK: "0" * 64})
    with pytest.raises(AuthError) as caught:
        verify_network(service.network(NETWORK), NETWORK, other, NOW)
    assert caught.value.code == "auth.other-agreement"


def test_an_agreement_that_is_over_is_refused(service, profile):
    with pytest.raises(AuthError, match="not in force"):
        verify_network(service.network(NETWORK), NETWORK, profile, NOW + 10 * 365 * 86_400)


@pytest.mark.parametrize("signer", ["service", "bank-a", "player-1", "fraud-desk"])
def test_an_entry_or_policy_of_somebody_else_is_refused(service: AnsweringService, profile, signer):
    service.signers = {"bank-c": signer}
    with pytest.raises(AuthError):
        verify_network(service.network(NETWORK), NETWORK, profile, NOW)


def test_a_policy_of_another_dataset_is_refused(service, profile):
    view = service.network(NETWORK)
    first, second, *rest = view.datasets
    swapped = (first.model_copy(update={"policy": second.policy}), second, *rest)
    with pytest.raises(AuthError) as caught:
        verify_network(view.model_copy(update={"datasets": swapped}), NETWORK, profile, NOW)
    assert caught.value.code == "auth.altered-catalogue"
    with pytest.raises(AuthError, match="twice"):
        verify_network(view.model_copy(update={"datasets": (first, first)}), NETWORK, profile, NOW)


def test_the_signing_key_must_be_the_analysts(profile, tmp_path):
    analyst, key = signing_key(profile, answering.agreement())
    assert (analyst.name, key.public) == ("fraud-desk", unsafe_key("fraud-desk").public)
    with pytest.raises(AuthError) as caught:
        signing_key(replace(profile, analyst="auditors"), answering.agreement())
    assert caught.value.code == "auth.wrong-key"
    with pytest.raises(AuthError, match="signing_key"):
        signing_key(replace(profile, signing_key=None), answering.agreement())
    (tmp_path / "fraud-desk.key").chmod(0o644)
    with pytest.raises(AuthError) as caught:
        signing_key(profile, answering.agreement())
    assert caught.value.code == "auth.open-key"
