"""Small datasets and plans over them, for tests of plans."""

from collections.abc import Mapping, Sequence

from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.plan.conditions import ASSUMED, Conditions
from xor.plan.place import Permits, place
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Relation
from xor.testing.three_banks import ANALYST, NETWORK, NOW


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


def placed(
    relation: Relation, *recipients: str, conditions: Conditions = ASSUMED, permits: Permits | None = None
) -> PlacedPlan:
    """The plan of a relation over any datasets; constants for everything else."""
    return place(
        relation,
        network=NETWORK,
        agreement_hash="a" * 64,
        analyst=ANALYST,
        recipients=recipients or (ANALYST,),
        policies={each.name: 1 for each in relation.datasets},
        not_before=NOW,
        not_after=NOW + 3600,
        nonce="b" * 64,
        conditions=conditions,
        permits=permits,
    )
