"""The demo's data: the same for the same seed, realistic, and with answers to the demo's questions."""

import csv
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from xor.engine.sources import inspect
from xor.errors import UsageError
from xor.testing import banks

NAMES = ("transactions_a", "accounts_b", "accounts_c")


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("banks")
    banks.write(directory, rows=4000, accounts=1000, seed=7)
    return directory


def test_the_same_seed_writes_the_same_files(directory: Path, tmp_path: Path) -> None:
    banks.write(tmp_path / "again", rows=4000, accounts=1000, seed=7)
    banks.write(tmp_path / "other", rows=4000, accounts=1000, seed=8)
    for name in NAMES:
        content = (directory / f"{name}.csv").read_bytes()
        assert content == (tmp_path / "again" / f"{name}.csv").read_bytes()
        assert content != (tmp_path / "other" / f"{name}.csv").read_bytes()


def test_columns_and_types_are_those_of_the_example(directory: Path) -> None:
    found = inspect(directory / "transactions_a.csv")
    assert [(column.name, column.type) for column in found.columns] == [
        ("beneficiary_account", "text"),
        ("ordering_account", "text"),
        ("timestamp", "timestamp"),
        ("amount", "decimal(18,2)"),
        ("flag", "int64"),
    ]
    assert found.rows == 4000
    for name in ("accounts_b", "accounts_c"):
        found = inspect(directory / f"{name}.csv")
        assert [(column.name, column.type) for column in found.columns] == [
            ("account", "text"),
            ("balance", "decimal(18,2)"),
            ("name", "text"),
            ("street", "text"),
            ("city", "text"),
            ("zip", "text"),
            ("country", "text"),
        ]
        assert (found.rows, "account" in found.unique) == (1000, True)


def test_payments_between_known_accounts_go_both_ways(directory: Path) -> None:
    of_b, of_c = ({row[0] for row in rows(directory / f"accounts_{bank}.csv")} for bank in "bc")
    assert not of_b & of_c
    payments = rows(directory / "transactions_a.csv")
    for of_beneficiary, of_orderer in ((of_b, of_c), (of_c, of_b)):
        found = sum(row[0] in of_beneficiary and row[1] in of_orderer for row in payments)
        assert 200 < found < 2000


def test_the_data_have_what_real_data_have(directory: Path) -> None:
    payments, accounts = rows(directory / "transactions_a.csv"), rows(directory / "accounts_b.csv")
    (_, most), *_ = Counter(row[0] for row in payments).most_common()
    assert most > 40 * len(payments) / len({row[0] for row in payments}) / 4
    assert {row[0][:3] for row in accounts} == {"YY_"}
    assert {row[0][:3] for row in payments} >= {"YY_", "CH_", "KK_", ""}
    assert any(row[3] == "" for row in payments)
    assert any(row[5].startswith("02") for row in accounts)
    assert any(row[5].startswith("V") and row[5][3] == " " for row in accounts)
    assert any(Decimal(row[1]) < 0 for row in accounts if row[1])
    assert any('"' in row[3] for row in accounts)
    assert '""' in (directory / "accounts_b.csv").read_text()


def test_no_transaction_is_no_mistake(tmp_path: Path) -> None:
    banks.write(tmp_path, rows=0, accounts=1)
    assert inspect(tmp_path / "transactions_a.csv").rows == 0


def test_banks_without_accounts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one account"):
        banks.write(tmp_path, accounts=0)
