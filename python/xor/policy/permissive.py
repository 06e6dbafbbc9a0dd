"""The policy that `xor local up` writes where none is given. Loud, because it protects next to nothing."""

from __future__ import annotations

import datetime as dt

from xor.model.agreement import Agreement
from xor.model.dataset import DatasetEntry
from xor.model.types import DataType, Kind
from xor.policy.clauses.join import ALONGSIDE, ANY_COLUMN, ANY_DATASET, GUESSES, RESERVED
from xor.policy.clauses.learn import LEAKAGES, PLAYERS, SERVICE
from xor.policy.clauses.leaves import SEALED_ROWS
from xor.policy.clauses.protection import MALICIOUS, SIMULATED
from xor.policy.clauses.reveal import ALL_ROWS, PREFIX
from xor.policy.grant import policy_text

GUESSES_A_DAY = 10**12
_WARNING = """\
# PERMISSIVE POLICY, WRITTEN BY A TOOL, READ BY NOBODY.
# It lets every analyst of the network see every row and every column of {dataset}, and every partner
# join on all of them. For trying things out on one computer; never for data that somebody must protect.
# Write a policy of your own, and name it in the network file: policy = "{dataset}.yaml"
"""


def permissive(entry: DatasetEntry, agreement: Agreement, *, until: dt.date, reason: str) -> str:
    """A policy that allows whatever this version can do for analysts, until the end of a UTC day.

    It reveals nothing to players: no machine gets rows of another one in the clear because of it.

    Args:
        until: the last day of validity, and of the simulated clean room if the dataset is in one.
        reason: why a simulated clean room is acceptable.
    """
    player = agreement.player(entry.player)
    columns = [column.name for column in entry.columns]
    # A column named like a part of the clause cannot be a key; floats never are.
    keys = [
        column.name
        for column in entry.columns
        if DataType.parse(column.type).kind is not Kind.FLOAT64 and column.name not in RESERVED
    ]
    analysts = [analyst.name for analyst in agreement.analysts if analyst.name not in (PLAYERS, SERVICE)]
    simulated = {SIMULATED: {"until": until.isoformat(), "reason": reason}} if player.is_simulated else {}
    document = {
        "policy": entry.name,
        "purpose": "Try things out",
        "valid": f"1970-01-01 to {until.isoformat()}",
        "zone": [player.zone],
        "leaves": [SEALED_ROWS],
        "protection": {"adversary": MALICIOUS, "dealer": "none", **simulated},
        "join": {
            **{name: [f"{ANY_COLUMN}{each}" for each in (ANY_DATASET, entry.name)] for name in keys},
            ALONGSIDE: [ANY_DATASET],
            GUESSES: f"{GUESSES_A_DAY} per UTC day",
        },
        **{f"{PREFIX}{name}": {ALL_ROWS: columns} for name in analysts},
        "learn": {name: list(LEAKAGES) for name in (PLAYERS, SERVICE, *analysts)},
        "approve": "automatic",
    }
    return _WARNING.format(dataset=entry.name) + policy_text(document)
