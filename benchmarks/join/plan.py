"""The plans that both players run, built by the product's own classes."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.join.tables import ACCOUNTS, KEYS, MAX_BYTES, OUTPUT, TRANSACTIONS
from xor.engine.sources import Source
from xor.model.dataset import DatasetEntry
from xor.plan.conditions import Conditions
from xor.plan.cost import lanes
from xor.plan.oprf.exchange import Oprf
from xor.plan.placed import Exchange, Matched, Part, PlacedPlan
from xor.plan.relations import Join, Scan
from xor.plan.spec import matched_spec, sealed_spec
from xor.testing.samples import entry, placed
from xor.testing.three_banks import ANALYST, agreement

_PLAN_HASH = "00" * 32  # names this plan to the protocol, whatever its bytes are


@dataclass(frozen=True)
class Work:
    """One sealed join: the plan, its only part and the public parameters of it."""

    plan: PlacedPlan
    part: Part
    spec: bytes

    @property
    def lanes(self) -> int:
        """Connections between the players."""
        (exchange,) = self.plan.exchanges
        return lanes(exchange)

    def source(self, side: int, path: Path) -> Source:
        """The file of a side as its owner declared it."""
        return Source(self.part.source(side).datasets[0], path, "csv")


def work(rows: int, oprf: Oprf, seal_key: str) -> Work:
    """The join of transactions and accounts, inner, sealed to one analyst.

    Args:
        oprf: the back end of the OPRF, "vole" or "dh".
        seal_key: public key of the analyst in hex.
    """
    plan = _plan(rows, oprf)
    members = agreement()
    analysts = [
        each.model_copy(update={"seal_key": seal_key}) if each.name == ANALYST else each
        for each in members.analysts
    ]
    members = members.model_copy(update={"analysts": tuple(analysts)})
    (part,) = plan.parts
    return Work(plan, part, sealed_spec(plan, _PLAN_HASH, part, members))


def matched_work(rows: int, oprf: Oprf) -> tuple[Exchange, bytes]:
    """The same join matched: its only exchange and the public parameters of it. Side 0 receives.

    Args:
        oprf: as in `work`.
    """
    plan = _plan(rows, oprf)
    matched = Matched(("player-0", "player-1"), 0, oprf)
    plan = replace(plan, placements=(*plan.placements[:-1], matched))
    (exchange,) = plan.exchanges
    return exchange, matched_spec(plan, _PLAN_HASH, exchange.node)


def _plan(rows: int, oprf: Oprf) -> PlacedPlan:
    transactions = _entry("transactions", 0, TRANSACTIONS, rows)
    accounts = _entry("accounts", 1, ACCOUNTS, rows)
    joined = Join(Scan(transactions), Scan(accounts), KEYS, output=OUTPUT)
    return placed(joined, conditions=Conditions(back_ends=(oprf,)))


def _entry(name: str, side: int, columns: dict[str, str], rows: int) -> DatasetEntry:
    kinds = {each: f"text({MAX_BYTES[each]})" if kind == "text" else kind for each, kind in columns.items()}
    return entry(name, kinds, player=f"player-{side}", rows=rows)
