"""Three banks that never were: transactions of A, accounts of B and of C. The same seed gives the same files.

What real tables have is in them: account prefixes that name the bank, a few accounts with very many
transactions, NULLs, postcodes that are no numbers, names with accents and quotes, exact amounts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xor.errors import UsageError

_OTHERS = ("KK", "DE", "LU")
_FIRST = (
    "John", "Kevin", "Maria", "Noël", "Ana", "Li", "Priya", "Søren",
    "Zoë", "Omar", "Ines", "Chloé", "Jürgen", "Yuki", "Amara", "Peter",
)  # fmt: skip
_LAST = (
    "Smith", "Lee", "García", "O'Neill", "Müller", "Nguyen", "Rossi", "Kowalski",
    "Andersson", "Okafor", "Tanaka", "Dubois", "Novák", "Silva", "Haddad", "Brown",
)  # fmt: skip
_STREETS = (
    "Main St",
    "Pine St",
    "Rue de l'Église",
    "Bahnhofstrasse",
    "Elm Ave, Suite 2",
    'The "Old" Mill Rd',
)
_CITIES = (
    # city, country, postcode: # is a digit, @ a letter
    ("New York", "USA", "100##"),
    ("Boston", "USA", "021##"),
    ("Vancouver", "Canada", "V#@ #@#"),
    ("Toronto", "Canada", "M#@ #@#"),
    ("Zürich", "Switzerland", "80##"),
    ("London", "United Kingdom", "SW#@ #@@"),
    ("Paris", "France", "750##"),
)
_SHARES = {"b": 0.35, "c": 0.35, "elsewhere": 0.3}
"""Where the accounts of a transaction are, each side drawn for itself."""
_SKEW = 1.1
"""Exponent of the Zipf law by which the accounts of a bank take part."""
_NULLS = 0.01
_MAX_ACCOUNTS = 2 * 10**8
_START_S, _DAYS = 1_648_771_200, 30  # from 2022-04-01 UTC


def write(directory: Path, rows: int = 20_000, accounts: int = 5_000, seed: int = 1) -> None:
    """Writes transactions_a.csv, accounts_b.csv and accounts_c.csv, each with a header line.

    Accounts of B and of C are both among the beneficiaries and among the orderers, so that payments from
    B to C are found as well as those from C to B. No account is twice in accounts_b or accounts_c.

    Args:
        rows: transactions.
        accounts: accounts at B, and as many at C.
    """
    if rows < 0 or not 1 <= accounts <= _MAX_ACCOUNTS:
        raise UsageError("three banks need at least one account each", code="usage.invalid")
    random = np.random.default_rng(seed)
    gap = 9 * 10**8 // (4 * accounts)
    numbers = 10**8 + random.permutation(4 * accounts) * gap + random.integers(0, gap, 4 * accounts)
    of_b, of_c, elsewhere = np.split(numbers, (accounts, 2 * accounts))
    banks = {
        "b": _joined("YY", pa.array(of_b), between="_"),
        "c": _joined("CH", pa.array(of_c), between="_"),
        "elsewhere": _joined(
            _chosen(random, ("KK", "DE", "LU"), 2 * accounts), pa.array(elsewhere), between="_"
        ),
    }
    directory.mkdir(parents=True, exist_ok=True)
    _write_csv(directory / "transactions_a.csv", _transactions(random, rows, banks))
    for bank in ("b", "c"):
        _write_csv(directory / f"accounts_{bank}.csv", _accounts(random, banks[bank]))


def _transactions(random: Any, rows: int, banks: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    seconds = np.sort(random.integers(0, _DAYS * 86_400, rows)) + _START_S
    cents = np.exp(random.normal(9.5, 1.8, rows)).astype(np.int64) + 1
    return {
        "beneficiary_account": _with_nulls(random, _parties(random, rows, banks)),
        "ordering_account": _with_nulls(random, _parties(random, rows, banks)),
        "timestamp": pc.strftime(pa.array(seconds).cast(pa.timestamp("s")), "%Y-%m-%d %H:%M:%S"),
        "amount": _with_nulls(random, _amounts(cents)),
        "flag": pa.array((random.random(rows) < 0.02).astype(np.int64)).cast(pa.string()),
    }


def _parties(random: Any, rows: int, banks: Mapping[str, pa.Array]) -> pa.Array:
    """For each transaction an account: first its bank, then one of the bank's, a few of them very often."""
    bank_of = random.choice(len(_SHARES), rows, p=list(_SHARES.values()))
    offsets = np.cumsum([0, *(len(banks[name]) for name in _SHARES)])
    which = np.empty(rows, np.int64)
    for index, name in enumerate(_SHARES):
        weights = 1 / np.arange(1, len(banks[name]) + 1) ** _SKEW
        here = bank_of == index
        which[here] = offsets[index] + random.choice(len(weights), here.sum(), p=weights / weights.sum())
    return pa.concat_arrays([banks[name] for name in _SHARES]).take(pa.array(which))


def _accounts(random: Any, accounts: pa.Array) -> dict[str, pa.Array]:
    rows = len(accounts)
    city = random.integers(0, len(_CITIES), rows)
    house = pa.array(random.integers(1, 2000, rows))
    street = _joined(house, _chosen(random, _STREETS, rows), between=" ")
    return {
        "account": accounts,
        "balance": _with_nulls(random, _amounts(random.integers(-50_000, 50_000_000, rows))),
        "name": _joined(_chosen(random, _FIRST, rows), _chosen(random, _LAST, rows), between=" "),
        "street": pc.if_else(pa.array(random.random(rows) < _NULLS), "", _with_nulls(random, street)),
        "city": pa.array([name for name, _, _ in _CITIES]).take(pa.array(city)),
        "zip": _with_nulls(random, _postcodes(random, city)),
        "country": pa.array([country for _, country, _ in _CITIES]).take(pa.array(city)),
    }


def _postcodes(random: Any, city: Any) -> pa.Array:
    codes = np.empty(len(city), "S8")
    for index, (_, _, pattern) in enumerate(_CITIES):
        here = city == index
        letters = np.tile(np.frombuffer(pattern.encode(), np.uint8), (here.sum(), 1))
        for position, each in enumerate(pattern):
            if each in "#@":
                first, count = ("0", 10) if each == "#" else ("A", 26)
                letters[:, position] = ord(first) + random.integers(0, count, here.sum())
        codes[here] = letters.view(f"S{len(pattern)}").ravel()
    return pa.array(codes, pa.binary()).cast(pa.string())


def _chosen(random: Any, words: tuple[str, ...], rows: int) -> pa.Array:
    return pa.array(words).take(pa.array(random.integers(0, len(words), rows)))


def _with_nulls(random: Any, column: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(random.random(len(column)) < _NULLS), pa.scalar(None, pa.string()), column)


def _amounts(cents: Any) -> pa.Array:
    sign = pc.if_else(pa.array(cents < 0), "-", "")
    whole, rest = (pa.array(part).cast(pa.string()) for part in np.divmod(np.abs(cents), 100))
    return pc.binary_join_element_wise(sign, _joined(whole, pc.utf8_lpad(rest, 2, "0"), between="."), "")


def _joined(first: str | pa.Array, second: pa.Array, between: str) -> pa.Array:
    texts = [each if isinstance(each, str) else each.cast(pa.string()) for each in (first, second)]
    return pc.binary_join_element_wise(*texts, between)


def _write_csv(path: Path, columns: Mapping[str, pa.Array]) -> None:
    """RFC 4180 with quotes only where they are needed: NULL is empty, the empty text is `""`."""
    fields = [pc.fill_null(_quoted(column), "") for column in columns.values()]
    lines = pc.binary_join_element_wise(*fields, ",").to_pylist()
    path.write_text("\n".join([",".join(columns), *lines, ""]), encoding="utf-8", newline="")


def _quoted(column: pa.Array) -> pa.Array:
    needs_quotes = pc.match_substring_regex(column, '[",\r\n]|^$')
    doubled = pc.replace_substring(column, '"', '""')
    return pc.if_else(needs_quotes, pc.binary_join_element_wise('"', doubled, '"', ""), column)
