"""Whether a plan fits what machines give to one job: from its bounds, before anything starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from xor.errors import ResourceError
from xor.model.machine import Capacity
from xor.plan.estimate import needs
from xor.plan.phrases import in_bytes
from xor.plan.placed import PlacedPlan

RAISE = "its operator raises {setting} in machine.toml; "
SMALLER = (
    "owners declare tighter `rows` and `max_bytes`, or `unique` keys, so that the bound of a join is the "
    "other table's and not the product; or select fewer columns."
)


@dataclass(frozen=True, slots=True)
class Shortage:
    """One reason why a plan cannot run at a machine: what is needed, what there is, and what helps."""

    player: str
    code: str
    message: str
    hint: str

    def to_error(self) -> ResourceError:
        return ResourceError(self.message, code=self.code, hint=self.hint, player=self.player)


def shortages(plan: PlacedPlan, capacities: Mapping[str, Capacity]) -> tuple[Shortage, ...]:
    """Everything that a plan needs and a machine does not give; of machines that are not named, nothing.

    Needs are upper bounds: what fits here does not run out of memory or disk later, as long as the machine
    has what it said.
    """
    return tuple(_shortages(plan, capacities))


def _shortages(plan: PlacedPlan, capacities: Mapping[str, Capacity]) -> Iterator[Shortage]:
    for need in needs(plan):
        capacity = capacities.get(need.player)
        if capacity is None:
            continue
        yield from _back_ends(plan, need.player, capacity)
        if need.memory_bytes > capacity.memory_bytes:
            yield Shortage(
                need.player,
                code="resource.memory-limit",
                message=f"the job may need {in_bytes(need.memory_bytes)} of memory at '{need.player}', which "
                f"gives {in_bytes(capacity.memory_bytes)} to one job",
                hint=RAISE.format(setting="memory_mib") + SMALLER,
            )
        if need.disk_bytes > capacity.disk_bytes:
            yield Shortage(
                need.player,
                code="resource.disk-limit",
                message=f"the job may need {in_bytes(need.disk_bytes)} of disk at '{need.player}', which "
                f"gives {in_bytes(capacity.disk_bytes)} to one job",
                hint=RAISE.format(setting="disk_mib") + SMALLER,
            )


def _back_ends(plan: PlacedPlan, player: str, capacity: Capacity) -> Iterator[Shortage]:
    used = {exchange.placement.oprf for exchange in plan.exchanges_of(player)}
    for oprf in sorted(used - set(capacity.oprf)):
        yield Shortage(
            player,
            code="resource.back-end",
            message=f"'{player}' does not run the OPRF '{oprf}', which the plan names",
            hint=f"place the plan again; or its operator adds '{oprf}' to oprf in machine.toml. "
            f"It runs: {', '.join(capacity.oprf)}.",
        )
