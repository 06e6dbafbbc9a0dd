"""The machine: acts for one player. It verifies, judges, runs its part of plans and seals it."""
