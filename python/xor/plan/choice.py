"""Choosing the back end of a private join: the quicker one under the conditions, and why not the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xor.plan.conditions import Conditions
from xor.plan.cost import costs
from xor.plan.estimate import Seconds, seconds
from xor.plan.limits import most_rows
from xor.plan.oprf.exchange import BACK_ENDS, KNOWN, MAX_JOINED, Oprf
from xor.plan.placed import Exchange, Matched, Part, Sealed
from xor.plan.relations import Join


@dataclass(frozen=True, slots=True)
class Candidate:
    """One back end for one join.

    Args:
        refusal: why it cannot run; empty if it can.
        sent_bytes: of both players to each other.
    """

    oprf: Oprf
    refusal: str
    sent_bytes: int
    seconds: Seconds | None

    @property
    def exchange_s(self) -> float:
        return self.seconds.exchange.seconds if self.seconds else float("inf")


def candidates(join: Join, placement: Sealed | Matched, conditions: Conditions) -> tuple[Candidate, ...]:
    """Every known back end for a private join of that form; `placement.oprf` does not matter."""
    return tuple(_candidate(Exchange(0, join, replace(placement, oprf=each)), conditions) for each in KNOWN)


def quickest(found: Sequence[Candidate], back_ends: Sequence[Oprf]) -> Oprf:
    """The back end whose exchange is over first; where none can run, the one for most rows."""
    able = [each for each in found if not each.refusal]
    if able:
        return min(able, key=lambda each: (each.exchange_s, each.sent_bytes)).oprf
    return max(back_ends, key=lambda each: MAX_JOINED[each])


def _candidate(exchange: Exchange, conditions: Conditions) -> Candidate:
    oprf, limit = exchange.placement.oprf, most_rows(exchange.placement)
    if max(exchange.bounds) > limit:
        return Candidate(oprf, f"takes at most {limit:,} rows a side", 0, None)
    refusal = ""
    if oprf not in conditions.back_ends:
        refusal = "is not in this version" if oprf not in BACK_ENDS else "is switched off here"
    elif refusing := conditions.refusing(oprf, exchange.players):
        refusal = f"is not run by {' and '.join(refusing)}"
    sent = sum(each.sent_bytes for each in costs(exchange))
    is_sealed = isinstance(exchange.placement, Sealed)
    step = Part(exchange.node, exchange.join, exchange.placement) if is_sealed else exchange
    return Candidate(oprf, refusal, sent, seconds(step, conditions))
