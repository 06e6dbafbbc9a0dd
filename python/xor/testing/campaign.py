"""What all long campaigns are told and leave behind."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def parser(prog: str, description: str | None, port: int) -> argparse.ArgumentParser:
    """Takes a seed, the first port to use, and a file for the figures."""
    made = argparse.ArgumentParser(prog=prog, description=description)
    made.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    made.add_argument("--port", type=int, default=port, help="the first of a few that are used")
    made.add_argument("--json", type=Path, help="where the figures go")
    return made


def shown(chosen: argparse.Namespace, results: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Prints results as they come, after the seed; writes all of them to the file for the figures."""
    print(f"seed {chosen.seed}", flush=True)
    found: list[Mapping[str, Any]] = []
    for each in results:
        print(f"{len(found) + 1:4} {json.dumps(each)}", flush=True)
        found.append(each)
    if chosen.json:
        chosen.json.write_text(json.dumps({"seed": chosen.seed, "jobs": found}, indent=1) + "\n")
    return found
