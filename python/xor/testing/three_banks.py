"""The three banks on paper: agreement, entries, policies and plans, without files, processes or chance.

For tests of what documents say. Keys follow from names; they protect nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.place import Permits, place
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan
from xor.policy.document import Policy
from xor.policy.parse import ParsedPolicy, in_force
from xor.policy.permissive import permissive
from xor.signing import SigningKey, seal_envelope
from xor.wire.trust import agreement_hash

NETWORK = "two-parties"
NOW = int(dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC).timestamp())
OWNERS = ("bank-a", "bank-b", "bank-c")
ANALYST = "fraud-desk"
PAYMENT = ("beneficiary_account", "ordering_account", "timestamp", "amount", "flag")
"""The columns that a sensible policy reveals."""


@cache
def unsafe_key(name: str) -> SigningKey:
    """A key that anybody can derive from the name."""
    return SigningKey(hashlib.sha256(name.encode()).digest())


@cache
def agreement() -> Agreement:
    """player-0 is a simulated clean room with data of A and B, player-1 are the premises of C."""
    return Agreement(
        network=NETWORK,
        owners=tuple(Owner(name=name, key=unsafe_key(name).public) for name in OWNERS),
        players=(
            Player(name="player-0", key=unsafe_key("player-0").public, zone="clean room", is_simulated=True),
            Player(name="player-1", key=unsafe_key("player-1").public, zone="premises", owner="bank-c"),
        ),
        analysts=tuple(
            Analyst(name=name, key=unsafe_key(name).public, seal_key="0" * 2432)
            for name in (ANALYST, "auditors")
        ),
        service_key=unsafe_key("service").public,
        not_before=NOW - 86_400,
        not_after=NOW + 365 * 86_400,
    )


def _entry(name: str, player: str, columns: Mapping[str, str], rows: int, *unique: str) -> DatasetEntry:
    return DatasetEntry(
        network=NETWORK,
        name=name,
        owner=f"bank-{name[-1]}",
        player=player,
        columns=tuple(
            ColumnEntry(name=column, type=kind, max_bytes=32 if kind == "text" else None)
            for column, kind in columns.items()
        ),
        rows=rows,
        unique=tuple((column,) for column in unique),
    )


_ACCOUNT = {
    "account": "text", "balance": "decimal(18,2)", "name": "text", "street": "text", "city": "text",
    "zip": "text", "country": "text",
}  # fmt: skip
_TRANSACTION = {
    "beneficiary_account": "text", "ordering_account": "text", "timestamp": "timestamp",
    "amount": "decimal(18,2)", "flag": "int64",
}  # fmt: skip

ENTRIES: Mapping[str, DatasetEntry] = {
    each.name: each
    for each in (
        _entry("transactions_a", "player-0", _TRANSACTION, 20_000),
        _entry("accounts_b", "player-0", _ACCOUNT, 5_000, "account"),
        _entry("accounts_c", "player-1", _ACCOUNT, 5_000, "account"),
    )
}


def policies(texts: Mapping[str, str] | None = None, version: int = 1) -> dict[str, ParsedPolicy]:
    """The policies in force for the given texts; where there is none, a permissive one."""
    return {name: _parsed(name, (texts or {}).get(name) or _permissive(name), version) for name in ENTRIES}


@cache
def _permissive(name: str) -> str:
    until = dt.datetime.fromtimestamp(NOW, dt.UTC).date() + dt.timedelta(days=30)
    return permissive(ENTRIES[name], agreement(), until=until, reason="three banks on paper")


@cache
def _parsed(name: str, text: str, version: int) -> ParsedPolicy:
    owner = ENTRIES[name].owner
    policy = Policy(network=NETWORK, owner=owner, dataset=name, policy_version=version, text=text)
    return in_force(policy, ENTRIES[name])


def placed(
    relation: Relation,
    *recipients: str,
    version: int = 1,
    conditions: Conditions = ASSUMED,
    permits: Permits | None = None,
) -> PlacedPlan:
    """The plan of a relation, valid for an hour around NOW."""
    return place(
        relation,
        network=NETWORK,
        agreement_hash=agreement_hash(agreement()),
        analyst=ANALYST,
        recipients=recipients or (ANALYST,),
        policies=dict.fromkeys(ENTRIES, version),
        not_before=NOW - 1800,
        not_after=NOW + 1800,
        nonce="7" * 64,
        conditions=conditions,
        signatures={each.name: entry_signature(each) for each in relation.datasets},
        permits=permits,
        clean_rooms=("player-0",),
    )


def entry_signature(entry: DatasetEntry) -> bytes:
    """What the owner signs when it registers the dataset."""
    return seal_envelope(entry, unsafe_key(entry.owner)).signatures[0].signature


def scan(dataset: str, **changes: object) -> Scan:
    entry = ENTRIES[dataset]
    return Scan(DatasetEntry.model_validate(entry.model_dump() | changes) if changes else entry)


def join(left: Relation, right: Relation, *keys: tuple[str, str], kind: JoinKind = JoinKind.INNER) -> Join:
    """Joined as frames are: every column gets the suffix of its input."""
    sides = [_suffixed(each, f"_{number}") for number, each in enumerate((left, right))]
    return Join(sides[0], sides[1], tuple((f"{one}_0", f"{other}_1") for one, other in keys), kind)


def select(relation: Relation, columns: Sequence[str], names: Sequence[str] | None = None) -> Project:
    return Project(relation, tuple(zip(names or columns, columns, strict=True)))


def literal_program() -> Relation:
    """The program of the documentation, with all columns."""
    return _direction("beneficiary_account", "ordering_account")


def one_direction() -> Relation:
    """The same with only the columns that a sensible policy reveals."""
    return _payments("beneficiary_account", "ordering_account")


def both_directions() -> Relation:
    """The union of both directions: what the fraud desk wants."""
    return Concat((one_direction(), _payments("ordering_account", "beneficiary_account")))


def _direction(at_b: str, at_c: str) -> Join:
    in_clean_room = join(scan("accounts_b"), scan("transactions_a"), ("account", at_b))
    return join(in_clean_room, scan("accounts_c"), (f"{at_c}_1", "account"))


def _payments(at_b: str, at_c: str) -> Project:
    return select(_direction(at_b, at_c), [f"{name}_1_0" for name in PAYMENT], PAYMENT)


def _suffixed(relation: Relation, suffix: str) -> Project:
    return Project(relation, tuple((f"{name}{suffix}", name) for name in relation.schema.names))


def expired(plan: PlacedPlan) -> PlacedPlan:
    """The same plan, an hour too old."""
    return replace(plan, not_before=plan.not_before - 3600, not_after=plan.not_after - 3600)
