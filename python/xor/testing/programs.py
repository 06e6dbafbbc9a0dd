"""The three-bank programs as functions, for tests; `examples/` has them as an analyst writes them."""

from __future__ import annotations

from xor import dataframe as xf
from xor.dataframe import Frame

SELECTED = ["beneficiary_account", "ordering_account", "timestamp", "amount", "flag"]


def literal(client: xf.Client | None = None) -> Frame:
    """Transactions of A whose beneficiary banks at B and whose orderer banks at C, with every column."""
    transactions, b_accounts, c_accounts = _datasets(client)
    in_clean_room = xf.join([b_accounts, transactions], on=[["account"], ["beneficiary_account"]])
    return xf.join([in_clean_room, c_accounts], on=[["ordering_account_1"], ["account"]])


def selected(client: xf.Client | None = None) -> Frame:
    """The same payments with the columns that a sensible policy reveals."""
    return _payments(literal(client))


def union(client: xf.Client | None = None) -> Frame:
    """Payments between known accounts of B and C in both directions."""
    transactions, b_accounts, c_accounts = _datasets(client)
    ordered_by_b = xf.join([b_accounts, transactions], on=[["account"], ["ordering_account"]])
    to_c = xf.join([ordered_by_b, c_accounts], on=[["beneficiary_account_1"], ["account"]])
    return xf.concat([selected(client), _payments(to_c)])


def _datasets(client: xf.Client | None) -> tuple[Frame, Frame, Frame]:
    return (
        xf.use("transactions_a", "player-0", client=client),
        xf.use("accounts_b", "player-0", client=client),
        xf.use("accounts_c", "player-1", client=client),
    )


def _payments(joined: Frame) -> Frame:
    names = {name: f"{name}_1_0" for name in SELECTED}
    return joined.select(list(names.values())).rename({old: new for new, old in names.items()})
