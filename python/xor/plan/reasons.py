"""Why a private join runs as it does, and what a plan takes, as sentences for `explain()`."""

from collections.abc import Iterator

from xor.plan.choice import Candidate, candidates
from xor.plan.conditions import Conditions
from xor.plan.cost import exchange_of
from xor.plan.estimate import Seconds, needs, opening_bytes
from xor.plan.oprf.exchange import shards
from xor.plan.phrases import duration, in_bytes
from xor.plan.placed import Exchange, Part, PlacedPlan, Sealed
from xor.plan.relations import Join, JoinKind, padded


def spent(step: Seconds) -> str:
    """Where the time of a step goes."""
    parts = [
        (step.prepare, "reading and grouping"),
        (step.exchange.seconds, "the exchange"),
        (step.seal, "sealing"),
        (step.deliver, "delivery"),
        (step.open, "opening"),
    ]
    told = ", ".join(f"{duration(each)} {what}" for each, what in parts if each >= 0.05)
    return f"about {duration(step.total)}{f': {told}' if told else ''}"


def reasons(step: Part | Exchange, conditions: Conditions) -> tuple[str, ...]:
    """About a private join: why this OPRF, why not the others, whose keys recipients try; else nothing."""
    exchange = step if isinstance(step, Exchange) else exchange_of(step)
    if exchange is None:
        return ()
    join, placement = exchange.join, exchange.placement
    found = {each.oprf: each for each in candidates(join, placement, conditions)}
    chosen = found.pop(placement.oprf)
    others = (_not(each, chosen) for each in found.values())
    tried = (_opener(join, placement),) if isinstance(placement, Sealed) else ()
    return (_taken(chosen, exchange), *others, *tried)


def resource_needs(plan: PlacedPlan, conditions: Conditions) -> tuple[str, ...]:
    """What each process takes, beside what its machine gives to one job where that is known."""
    return (*_of_players(plan, conditions), f"{in_bytes(opening_bytes(plan))} of memory at a recipient")


def line_facts(plan: PlacedPlan, conditions: Conditions) -> tuple[str, ...]:
    """The lines between the players of private joins: measured in earlier jobs, or assumed."""
    pairs = dict.fromkeys(exchange.players for exchange in plan.exchanges)
    return tuple(_line(one, other, conditions) for one, other in pairs)


def _taken(chosen: Candidate, exchange: Exchange) -> str:
    text = f"OPRF {chosen.oprf}: {_figures(chosen)}"
    count = shards(chosen.oprf, exchange.bounds).count
    return f"{text}, in {count} shards" if count > 1 else text


def _not(other: Candidate, chosen: Candidate) -> str:
    text = f"not {other.oprf}: "
    if other.seconds is None:
        return f"{text}it {other.refusal}"
    if other.refusal:
        return f"{text}it {other.refusal} ({_figures(other)})"
    if other.exchange_s < chosen.exchange_s:
        return f"{text}{_figures(other)}, but policies or limits of a machine do not allow it"
    return f"{text}{_figures(other)}"


def _figures(each: Candidate) -> str:
    if each.seconds is None:
        return each.refusal
    exchange = each.seconds.exchange
    spent = f"{duration(exchange.cpu_s)} of processor and {duration(exchange.network_s)} of network"
    return f"{in_bytes(each.sent_bytes)} in all, {spent}"


def _opener(join: Join, placement: Sealed) -> str:
    tried = placement.between[placement.opener]
    left, right = (padded(each.rows) for each in join.inputs)
    match join.kind:
        case JoinKind.LEFT | JoinKind.RIGHT:
            why = "all of its rows are in the result"
        case JoinKind.SEMI:
            why = "the other side's rows are the result"
        case _ if left == right:
            why = "both bounds are equal, and the left one opens"
        case _:
            why = f"its bound is the smaller one, {min(left, right):,} of {max(left, right):,} rows"
    return f"recipients try the keys of {tried}: {why}"


def _of_players(plan: PlacedPlan, conditions: Conditions) -> Iterator[str]:
    for need in needs(plan):
        memory, disk = in_bytes(need.memory_bytes), in_bytes(need.disk_bytes)
        known = conditions.capacities.get(need.player)
        if known is None:
            yield f"{memory} of memory and {disk} of disk at {need.player}, whose limits are not known"
        else:
            yield (
                f"{memory} of memory (limit {in_bytes(known.memory_bytes)}) and {disk} of disk "
                f"(limit {in_bytes(known.disk_bytes)}) at {need.player}"
            )


def _line(one: str, other: str, conditions: Conditions) -> str:
    line = conditions.line(one, other)
    how = "seen in earlier jobs" if line.is_measured else "assumed, since no earlier job has shown it"
    return f"{one} with {other}: {_rate(8 * line.bytes_per_s)}, {_round_trip(line.rtt_s)} ({how})"


def _rate(bits_per_s: float) -> str:
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6)):
        if bits_per_s >= size:
            return f"{bits_per_s / size:.3g} {unit}"
    return f"{bits_per_s / 1e3:.3g} kbit/s"


def _round_trip(seconds: float) -> str:
    return f"round trip {1e3 * seconds:.3g} ms" if seconds >= 1e-3 else "round trip below 1 ms"
