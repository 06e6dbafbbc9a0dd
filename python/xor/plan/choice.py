"""Choosing the back end of a sealed join: the quicker one under the conditions, and why not the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xor.plan.conditions import Conditions
from xor.plan.cost import costs
from xor.plan.estimate import Seconds, seconds
from xor.plan.oprf.exchange import BACK_ENDS, KNOWN, MAX_JOINED, Oprf
from xor.plan.placed import Part, Sealed
from xor.plan.relations import Join, padded


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


def candidates(join: Join, sealed: Sealed, conditions: Conditions) -> tuple[Candidate, ...]:
    """Every known back end for a sealed join of that form; `sealed.oprf` does not matter."""
    return tuple(_candidate(Part(0, join, replace(sealed, oprf=each)), conditions) for each in KNOWN)


def quickest(found: Sequence[Candidate], back_ends: Sequence[Oprf]) -> Oprf:
    """The back end whose exchange is over first; where none can run, the one for most rows."""
    able = [each for each in found if not each.refusal]
    if able:
        return min(able, key=lambda each: (each.exchange_s, each.sent_bytes)).oprf
    return max(back_ends, key=lambda each: MAX_JOINED[each])


def _candidate(part: Part, conditions: Conditions) -> Candidate:
    if not isinstance(part.placement, Sealed):
        raise AssertionError("only sealed joins have a back end")
    oprf = part.placement.oprf
    largest = max(padded(each.rows) for each in part.relation.inputs)
    if largest > MAX_JOINED[oprf]:
        return Candidate(oprf, f"takes at most {MAX_JOINED[oprf]:,} rows a side", 0, None)
    refusal = ""
    if oprf not in conditions.back_ends:
        refusal = "is not in this version" if oprf not in BACK_ENDS else "is switched off here"
    elif refusing := conditions.refusing(oprf, part.players):
        refusal = f"is not run by {' and '.join(refusing)}"
    sent = sum(each.sent_bytes for each in costs(part))
    return Candidate(oprf, refusal, sent, seconds(part, conditions))
