"""Two CSV files: transactions and accounts, as many rows each, half of the keys in both. Deterministic."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

_PRIME, _STEP = 999_999_937, 7919
"""Numbers times a step modulo a prime: distinct account numbers that look random, 9 digits."""
_NULLS = 0.01
_COUNTRIES = ("USA", "Canada", "Switzerland", "United Kingdom", "France", "Luxembourg", "Germany")
_START_S, _DAYS = 1_648_771_200, 30  # from 2022-04-01 UTC
_CHUNK_ROWS = 2_000_000


@dataclass(frozen=True)
class Files:
    """Both inputs and the exact number of rows in their join."""

    transactions: Path
    accounts: Path
    rows: int
    matches: int


def write(directory: Path, rows: int, seed: int = 1) -> Files:
    """Writes transactions.csv and accounts.csv, `rows` lines each and a header.

    Every key is there once in its file; `rows - rows // 2` keys are in both, at unrelated places.
    """
    random = np.random.default_rng(seed)
    files = Files(directory / "transactions.csv", directory / "accounts.csv", rows, rows - rows // 2)
    for path, make, first in ((files.transactions, _transactions, 0), (files.accounts, _accounts, rows // 2)):
        numbers = (first + random.permutation(rows)) * _STEP % _PRIME
        with path.open("wb") as file:
            for begin in range(0, max(rows, 1), _CHUNK_ROWS):
                chunk = make(random, numbers[begin : begin + _CHUNK_ROWS])
                chunk.write_csv(file, include_header=begin == 0, datetime_format="%Y-%m-%d %H:%M:%S")
    return files


def _transactions(random: np.random.Generator, numbers: np.ndarray) -> pl.DataFrame:
    rows = len(numbers)
    seconds = np.sort(random.integers(0, _DAYS * 86_400, rows)) + _START_S
    cents = np.exp(random.normal(9.5, 1.8, rows)).astype(np.int64) + 1
    return pl.DataFrame({"number": numbers, "cents": cents, "seconds": seconds}).select(
        _key("beneficiary_account"),
        _amount("amount", random.random(rows) < _NULLS),
        pl.from_epoch("seconds").alias("timestamp"),
        pl.Series("flag", (random.random(rows) < 0.02).astype(np.int64)),
    )


def _accounts(random: np.random.Generator, numbers: np.ndarray) -> pl.DataFrame:
    rows = len(numbers)
    cents = random.integers(-50_000, 50_000_000, rows)
    return pl.DataFrame({"number": numbers, "cents": cents}).select(
        _key("account"),
        _amount("balance", random.random(rows) < _NULLS),
        pl.Series("country", _COUNTRIES).gather(random.integers(0, len(_COUNTRIES), rows)),
    )


def _key(name: str) -> pl.Expr:
    return pl.format("YY_{}", pl.col("number").cast(pl.String).str.zfill(9)).alias(name)


def _amount(name: str, is_null: np.ndarray) -> pl.Expr:
    size = pl.col("cents").abs()
    sign = pl.when(pl.col("cents") < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    text = pl.format("{}{}.{}", sign, size // 100, (size % 100).cast(pl.String).str.zfill(2))
    return pl.when(pl.lit(pl.Series(is_null))).then(None).otherwise(text).alias(name)
