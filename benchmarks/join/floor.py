"""The floor as a process: polars joins the same files in plaintext, with the same declared types."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from benchmarks.join.child import Child
from benchmarks.join.tables import ACCOUNTS, KEYS, OUTPUT, TRANSACTIONS

_TYPES = {
    "text": pl.String(),
    "decimal(18,2)": pl.Decimal(18, 2),
    "timestamp": pl.Datetime("us"),
    "int64": pl.Int64(),
}


def main() -> None:
    child = Child()
    order = child.hear()
    child.await_start()
    ((left_key, right_key),) = KEYS
    with child.step("read"):
        transactions = _read(order["transactions"], TRANSACTIONS)
        accounts = _read(order["accounts"], ACCOUNTS)
    with child.step("join"):
        joined = transactions.join(accounts, left_on=left_key, right_on=right_key).select(OUTPUT)
    with child.step("write"), Path(order["joined"]).open("wb") as file:
        joined.write_csv(file)
    child.finish(matches=joined.height)


def _read(path: str, columns: Mapping[str, str]) -> pl.DataFrame:
    return pl.read_csv(path, schema={name: _TYPES[kind] for name, kind in columns.items()})


if __name__ == "__main__":
    main()
