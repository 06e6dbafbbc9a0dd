"""The policies of a machine: in force is what the file says now, read once for each content."""

import datetime as dt
from pathlib import Path

import pytest

from xor.machine import holdings as module
from xor.machine import setup
from xor.machine.directory import Directory
from xor.machine.holdings import Holdings
from xor.machine.journal import Journal
from xor.owner.sign import sign_agreement, sign_entry, sign_policy
from xor.policy.permissive import permissive
from xor.testing import three_banks as banks

NAME = "accounts_c"


def signed(version: int):
    entry = banks.ENTRIES[NAME]
    text = permissive(entry, banks.agreement(), until=dt.date(2026, 12, 31), reason="a test")
    return sign_policy(
        text,
        network=banks.NETWORK,
        owner=entry.owner,
        dataset=NAME,
        policy_version=version,
        key=banks.unsafe_key(entry.owner),
    ).to_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "machine"
    owners = [banks.unsafe_key(name) for name in banks.OWNERS]
    setup.create(
        made,
        player="player-1",
        key=banks.unsafe_key("player-1"),
        agreement=sign_agreement(banks.agreement(), *owners),
        service_url="http://127.0.0.1:3000",
    )
    source = tmp_path / "accounts.csv"
    source.write_text("")
    entry = banks.ENTRIES[NAME]
    setup.add_dataset(
        made,
        entry=sign_entry(entry, banks.unsafe_key(entry.owner)),
        policy=module.Envelope.from_bytes(signed(1)),
        source=source,
    )
    return made


def test_a_policy_is_parsed_once_until_its_file_changes(path, monkeypatch):
    parsed = []

    def counted(policy, entry):
        parsed.append(policy.policy_version)
        return in_force(policy, entry)

    in_force = module.in_force
    monkeypatch.setattr(module, "in_force", counted)
    holdings = Holdings(Directory(path), Journal(None))
    policy = setup.policy_path(path, NAME)
    for _ in range(3):
        assert holdings.policies()[NAME].policy.policy_version == 1
        assert len(holdings.envelopes()[1]) == 1
    assert parsed == [1]
    setup.replace(policy, signed(2))
    assert holdings.policies()[NAME].policy.policy_version == 2
    setup.replace(policy, b"{}")
    assert not holdings.policies()
    assert not holdings.policies()
    setup.replace(policy, signed(1))
    assert not holdings.policies(), "rolled back"
    setup.replace(policy, signed(2))
    assert NAME in holdings.policies()
    assert parsed == [1, 2, 1, 2]
