"""Runs simulations from a shell: `python -m xor.testing.simulation --seeds 500`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from xor.testing.simulation import Violation, simulate


def main() -> int:
    """0 if all oracles held for all seeds, else 1 after the first seed that failed."""
    parser = argparse.ArgumentParser(prog="python -m xor.testing.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many, from --seed on")
    parser.add_argument("--seed", type=int, help="the first; alone: only this one")
    parser.add_argument("--trace", action="store_true", help="print what happened, line by line")
    options = parser.parse_args()
    first = options.seed or 0
    seeds = range(first, first + 1) if options.seed is not None and "--seeds" not in sys.argv else None
    outcomes: Counter[str] = Counter()
    for seed in seeds or range(first, first + options.seeds):
        try:
            report = simulate(seed)
        except Violation as violation:
            lines = str(violation).splitlines()
            print("\n".join(lines if options.trace else (lines[0], lines[-1])))
            return 1
        outcomes.update(report.outcomes)
        if options.trace:
            print("\n".join(report.history))
    print(" ".join(f"{code}={count}" for code, count in outcomes.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
