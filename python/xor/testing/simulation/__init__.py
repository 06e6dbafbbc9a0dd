"""A whole network under one seed: production code, virtual time, ideal joins, faults and lies."""

from xor.testing.simulation.run import Report, simulate
from xor.testing.simulation.world import Faults, Violation

__all__ = ["Faults", "Report", "Violation", "simulate"]
