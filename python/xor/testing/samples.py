"""Small plans for tests: the three banks as catalogue entries, frames' joins as relations, a placed plan."""

from collections.abc import Mapping, Sequence

from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.plan.place import place
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan

NETWORK = "two-parties"
ANALYST = "fraud-desk"

ACCOUNT_COLUMNS = {
    "account": "text(16)",
    "balance": "decimal(18,2)",
    "name": "text(64)",
    "street": "text(64)",
    "city": "text(64)",
    "zip": "text(16)",
    "country": "text(3)",
}
TRANSACTION_COLUMNS = {
    "beneficiary_account": "text(16)",
    "ordering_account": "text(16)",
    "timestamp": "timestamp[UTC]",
    "amount": "decimal(18,2)",
    "flag": "int64",
}


def entry(
    name: str,
    columns: Mapping[str, str],
    *,
    player: str = "player-0",
    owner: str = "bank-a",
    rows: int = 5000,
    unique: Sequence[Sequence[str]] = (),
) -> DatasetEntry:
    """A catalogue entry; `text(16)` is text of at most 16 bytes."""
    return DatasetEntry(
        network=NETWORK,
        name=name,
        owner=owner,
        player=player,
        columns=tuple(_column(name, kind) for name, kind in columns.items()),
        rows=rows,
        unique=tuple(tuple(group) for group in unique),
    )


def _column(name: str, kind: str) -> ColumnEntry:
    if kind.startswith("text("):
        return ColumnEntry(name=name, type="text", max_bytes=int(kind[5:-1]))
    return ColumnEntry(name=name, type=kind)


TRANSACTIONS_A = entry("transactions_a", TRANSACTION_COLUMNS, rows=20_000)
ACCOUNTS_B = entry("accounts_b", ACCOUNT_COLUMNS, owner="bank-b", unique=[["account"]])
ACCOUNTS_C = entry("accounts_c", ACCOUNT_COLUMNS, owner="bank-c", player="player-1", unique=[["account"]])


def three_banks() -> Agreement:
    """The network of the demo, with keys that nobody holds."""
    return Agreement(
        network=NETWORK,
        owners=tuple(
            Owner(name=name, key=f"{index:064x}")
            for index, name in enumerate(("bank-a", "bank-b", "bank-c"), 1)
        ),
        players=(
            Player(name="player-0", key=f"{10:064x}", zone="clean room", is_simulated=True),
            Player(name="player-1", key=f"{11:064x}", zone="premises", owner="bank-c"),
        ),
        analysts=(Analyst(name=ANALYST, key=f"{20:064x}", seal_key="ab" * 1216),),
        service_key=f"{30:064x}",
        not_before=0,
        not_after=2**40,
    )


def joined(
    left: Relation, right: Relation, on: Sequence[tuple[str, str]], kind: JoinKind = JoinKind.INNER
) -> Relation:
    """The join that `xf.join` builds: every column with the suffix of its input."""
    keys = tuple((f"{first}_0", f"{second}_1") for first, second in on)
    return Join(_suffixed(left, "_0"), _suffixed(right, "_1"), keys, kind)


def select(source: Relation, *names: str, **renamed: str) -> Relation:
    """Columns by name, and renamed ones as `new=old`."""
    return Project(source, (*((name, name) for name in names), *renamed.items()))


def _suffixed(source: Relation, suffix: str) -> Relation:
    return Project(source, tuple((name + suffix, name) for name in source.schema.names))


def literal_program() -> Relation:
    in_clean_room = joined(Scan(ACCOUNTS_B), Scan(TRANSACTIONS_A), [("account", "beneficiary_account")])
    return joined(in_clean_room, Scan(ACCOUNTS_C), [("ordering_account_1", "account")])


def selected_program() -> Relation:
    return _payments(literal_program())


def union_program() -> Relation:
    ordered_by_b = joined(Scan(ACCOUNTS_B), Scan(TRANSACTIONS_A), [("account", "ordering_account")])
    to_c = joined(ordered_by_b, Scan(ACCOUNTS_C), [("beneficiary_account_1", "account")])
    return Concat((selected_program(), _payments(to_c)))


def _payments(source: Relation) -> Relation:
    return select(source, **{name: f"{name}_1_0" for name in TRANSACTION_COLUMNS})


def placed(relation: Relation, recipients: tuple[str, ...] = (ANALYST,)) -> PlacedPlan:
    """The relation placed, with constants for everything else."""
    return place(
        relation,
        network=NETWORK,
        agreement_hash="a" * 64,
        analyst=ANALYST,
        recipients=recipients,
        policies={each.name: 1 for each in relation.datasets},
        not_before=1_800_000_000,
        not_after=1_800_003_600,
        nonce="b" * 64,
    )
