"""A whole network under one seed: production state machines, virtual time, ideal joins, faults and lies."""

from xor.testing.simulator.run import Report, Violation, simulate
from xor.testing.simulator.world import Faults

__all__ = ["Faults", "Report", "Violation", "simulate"]
