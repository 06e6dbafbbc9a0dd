"""The three-bank programs over real processes give the rows that pandas gives over the same files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from xor import dataframe as xf
from xor import session
from xor.errors import AuthError, PeerError, SchemaError, UsageError
from xor.session.profile import read_profile, write_profile
from xor.signing import SigningKey
from xor.testing.local import LocalNetwork
from xor.testing.processes import load
from xor.testing.programs import SELECTED, literal, selected, union


@pytest.fixture(scope="module")
def client(network: LocalNetwork):
    with session.open_session("localhost", network.port, api_token="*", use_ssl=False):
        yield xf.Client("two-parties", "localhost", network.port, "*", False)


def test_a_session_speaks_tls_and_believes_no_other_service(network, client, monkeypatch, tmp_path):
    with session.open_session("localhost", network.port) as opened:
        assert xf.Client("two-parties", session=opened).datasets()
    profile = read_profile("localhost", network.port)
    monkeypatch.setenv("XOR_HOME", str(tmp_path))
    write_profile(replace(profile, service_key=SigningKey.generate().public))
    with session.open_session("localhost", network.port) as opened, pytest.raises(AuthError) as caught:
        opened.known("two-parties")
    assert caught.value.code == "auth.not-the-service"


def files(network: LocalNetwork) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(network.file.parent / f"{name}.csv", dtype=str)

    return read("transactions_a"), read("accounts_b"), read("accounts_c")


def payments(network: LocalNetwork, known_at_b: str, known_at_c: str) -> pd.DataFrame:
    """The payments whose one account is at B and whose other is at C, by pandas."""
    transactions, b, c = files(network)
    kept = transactions[
        transactions[known_at_b].isin(b["account"]) & transactions[known_at_c].isin(c["account"])
    ]
    return kept[kept[known_at_b].notna() & kept[known_at_c].notna()]


def as_rows(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    def text(value: object) -> str:
        if isinstance(value, Decimal):
            return str(value.normalize())
        return "NULL" if pd.isna(value) else str(value)

    return sorted(tuple(text(value) for value in row) for row in frame.itertuples(index=False))


def normalised(frame: pd.DataFrame) -> pd.DataFrame:
    amounts = [Decimal(value) if isinstance(value, str) else value for value in frame["amount"]]
    return frame.assign(amount=amounts)


def test_the_literal_program_gives_the_payments_between_known_accounts(network, client):
    result = literal(client).run(reveal=True)
    frame = result.reveal()
    expected = payments(network, "beneficiary_account", "ordering_account")
    assert len(expected) > 0
    assert sorted(frame["beneficiary_account_1_0"]) == sorted(expected["beneficiary_account"])
    assert {"name_0_0", "name_1", "zip_1", "balance_0_0"} <= set(frame.columns)


def test_exact_values_come_through(network, client):
    frame = selected(client).run(reveal=True).reveal()
    expected = payments(network, "beneficiary_account", "ordering_account")[SELECTED]
    assert as_rows(frame) == as_rows(normalised(expected))


def test_the_union_of_both_directions_is_one_plan(network, client):
    result = union(client).run(reveal=True)
    expected = pd.concat(
        [
            payments(network, "beneficiary_account", "ordering_account"),
            payments(network, "ordering_account", "beneficiary_account"),
        ]
    )[SELECTED]
    assert as_rows(result.reveal()) == as_rows(normalised(expected))
    assert len({cost.player for cost in result.costs}) == 2


def test_a_plaintext_result_of_one_player_is_sealed_to_the_analyst_too(network, client):
    b = xf.use("accounts_b", "player-0", client=client)
    result = b.filter(b["country"] == "Canada").select(["account", "zip"]).run(reveal=True).reveal()
    _, accounts, _ = files(network)
    expected = accounts[accounts["country"] == "Canada"][["account", "zip"]]
    assert as_rows(result) == as_rows(expected)


@pytest.mark.parametrize("how", ["left", "right", "outer", "semi"])
def test_every_sealed_kind_runs_between_machines(network, client, how):
    b = xf.use("accounts_b", "player-0", client=client).select(["account", "country"])
    c = xf.use("accounts_c", "player-1", client=client).select(["account", "zip"])
    frame = xf.join([b, c], on=[["account"], ["account"]], how=how).run(reveal=True).reveal()
    _, b_file, c_file = files(network)
    shared = set(b_file["account"].dropna()) & set(c_file["account"].dropna())
    expected = {
        "left": len(b_file),
        "right": len(c_file),
        "outer": len(b_file) + len(c_file) - len(shared),
        "semi": len(shared),
    }
    assert len(frame) == expected[how]


def test_a_typing_error_in_the_program_is_answered_with_near_names(client):
    with pytest.raises(SchemaError, match="did you mean 'beneficiary_account'"):
        xf.join(
            [
                xf.use("accounts_b", "player-0", client=client),
                xf.use("transactions_a", "player-0", client=client),
            ],
            on=[["account"], ["beneficiary_acount"]],
        )


def test_an_absent_machine_is_named_and_the_job_runs_when_it_is_back(network, client):
    machine = next(each for each in load(network.pids) if each.name == "player-1")
    machine.kill()
    try:
        with pytest.raises(PeerError, match="player-1"):
            selected(client).run(reveal=True, timeout_s=4)
    finally:
        back = network.start_machine("player-1")
        network.remember(back)
    assert len(selected(client).run(reveal=True).reveal()) > 0


def test_a_port_in_use_is_said_before_anything_starts(network):
    with pytest.raises(UsageError, match="in use"):
        network.start(lambda _text: None)


@pytest.mark.parametrize("name", ["three_banks_select.py", "three_banks_union.py", "three_banks.py"])
def test_the_examples_run_as_they_are_against_another_port(network, name):
    text = (Path(__file__).parents[2] / "examples" / name).read_text()
    assert "3000" in text
    program = text.replace("3000", str(network.port))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
