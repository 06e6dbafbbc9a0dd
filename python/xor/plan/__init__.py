"""Relations, rules, placements and what they disclose. Pure functions of their arguments."""
