"""A bank's tables stay in its own PostgreSQL; the program and its result are the same."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from tests.e2e.conftest import ACCOUNTS, ROWS, free_port

from xor import dataframe as xf
from xor import session
from xor.cli.doctor import Grade, examine
from xor.errors import AuthError, DataError, PeerError, UsageError
from xor.machine.directory import Directory
from xor.testing import banks
from xor.testing.demo import network_text
from xor.testing.local import LocalNetwork
from xor.testing.postgres import Server
from xor.testing.programs import selected

SCHEMA = '"core banking"'
IN_DATABASE = """source = "{url}"
table = "{name}"
schema_name = "core banking"
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Iterator[LocalNetwork]:
    """The three banks; the tables of A and of B are in one database, which is reached by its socket."""
    before = os.environ.get("XOR_HOME")
    directory = tmp_path_factory.mktemp("network")
    os.environ["XOR_HOME"] = str(directory / "home")
    banks.write(directory, rows=ROWS, accounts=ACCOUNTS)
    database = postgres_server.new_database().rpartition("/")[2]
    text = network_text(ROWS, ACCOUNTS, None)
    for name in ("transactions_a", "accounts_b"):
        load(postgres_server, database, directory / f"{name}.csv", name)
        url = postgres_server.socket_url(database)
        text = text.replace(f'source = "{name}.csv"\n', IN_DATABASE.format(url=url, name=name))
    text = text.replace('types = { zip = "text" }', "", 1)
    file = directory / "network.toml"
    file.write_text(text)
    up = LocalNetwork.at(file, free_port())
    up.create(lambda _text: None)
    up.start(lambda _text: None)
    yield up
    up.down(lambda _text: None)
    os.environ.pop("XOR_HOME")
    if before is not None:
        os.environ["XOR_HOME"] = before


def load(server: Server, database: str, csv: Path, table: str) -> None:
    """The rows of a file as a table, with the types that the demo's files have."""
    types = {"timestamp": "timestamp", "amount": "numeric(18,2)", "balance": "numeric(18,2)"}
    header = csv.read_text().splitlines()[0].split(",")
    columns = ", ".join(f'"{name}" {types.get(name, "text")}' for name in header)
    there = f"{SCHEMA}.{table}"
    server.run_sql(
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; CREATE TABLE {there} ({columns});"
        f"COPY {there} FROM stdin WITH (FORMAT csv, HEADER);\n{csv.read_text()}\\.\n",
        database,
    )


@pytest.fixture
def client(network: LocalNetwork) -> Iterator[xf.Client]:
    with session.open_session("localhost", network.port):
        yield xf.Client("two-parties", "localhost", network.port)


def expected(network: LocalNetwork) -> list[tuple[str, str]]:
    transactions, b, c = (
        pd.read_csv(network.file.parent / f"{name}.csv", dtype=str)
        for name in ("transactions_a", "accounts_b", "accounts_c")
    )
    kept = transactions[
        transactions["beneficiary_account"].isin(b["account"].dropna())
        & transactions["ordering_account"].isin(c["account"].dropna())
    ]
    return sorted(zip(kept["beneficiary_account"], kept["ordering_account"], strict=True))


def found(client: xf.Client) -> list[tuple[str, str]]:
    frame = selected(client).run(reveal=True).reveal()
    return sorted(zip(frame["beneficiary_account"], frame["ordering_account"], strict=True))


def test_the_program_gives_the_same_payments(network: LocalNetwork, client: xf.Client) -> None:
    assert found(client) == expected(network) != []


def failed(network: LocalNetwork, client: xf.Client) -> str:
    """What the log of the machine says of a run that fails; the analyst hears only which stage it was."""
    with pytest.raises((DataError, PeerError)) as caught:
        found(client)
    assert "reading accounts_b, transactions_a" in str(caught.value)
    log = (network.directory / "logs" / "player-0.log").read_text()
    return log.rsplit('event="the worker stopped"', 1)[1].splitlines()[0]


def test_a_table_that_was_changed_stops_the_job_and_put_back_lets_the_next_one_run(
    network: LocalNetwork, client: xf.Client, postgres_server: Server
) -> None:
    directory = Directory(network.machine_directory("player-0"))
    database = directory.holdings["accounts_b"].source.database.database
    rename = f"ALTER TABLE {SCHEMA}.accounts_b RENAME {{}} TO {{}}"
    postgres_server.run_sql(rename.format("zip", "postcode"), database)
    assert "no column 'zip'" in failed(network, client)
    assert {each.about: each.text for each in examine(directory.path)}["dataset accounts_b"] == (
        "dataset 'accounts_b': its table has no column 'zip'"
    )
    postgres_server.run_sql(rename.format("postcode", "zip"), database)
    assert found(client) == expected(network)
    assert {each.grade for each in examine(directory.path)} == {Grade.OK}


def test_a_database_that_is_away_stops_the_job_and_when_it_is_back_the_next_one_runs(
    network: LocalNetwork, client: xf.Client, postgres_server: Server
) -> None:
    postgres_server.stop()
    assert "data.database-away" in failed(network, client)
    postgres_server.start()
    assert found(client) == expected(network)


def test_a_password_that_others_could_read_stops_the_machine(network: LocalNetwork, tmp_path: Path) -> None:
    copy = tmp_path / "machine"
    shutil.copytree(network.machine_directory("player-0"), copy)
    settings = copy / "datasets" / "accounts_b" / "source.toml"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    settings.chmod(0o640)
    with pytest.raises(AuthError) as caught:
        Directory(copy)
    assert caught.value.code == "auth.open-file"
    settings.chmod(0o600)
    password = settings.read_text().split("xor:")[1].split("@")[0]
    assert password not in repr(Directory(copy).holdings)
    settings.write_text(settings.read_text().replace("postgresql://", "mysql://"))
    with pytest.raises(UsageError) as caught:
        Directory(copy)
    assert password not in str(caught.value)
