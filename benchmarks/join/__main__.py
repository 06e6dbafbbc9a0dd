"""Measures and prints; the last line is one JSON object.

    python -m benchmarks.join --rows 1000000 [--peer spu] [--net lan|wan] [--json]

Every run measures the private join, polars and, if asked for, the peer, one after the other: figures of one
computer in one minute. The ratio of the medians is what to compare between computers.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.join import data, run, spu
from benchmarks.join.shaper import WAN, Link
from xor import _core
from xor.plan.oprf.exchange import BACK_ENDS

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / "benchmarks" / "results"
_PEER_HOME = _ROOT / ".bench" / "spu"


def main() -> None:
    options = _options()
    if _core.PROFILE != "release":
        print("NOT A RELEASE BUILD of the core: the seconds mean nothing; see `make bench`", file=sys.stderr)
    link = WAN if options.net == "wan" else None
    with TemporaryDirectory(prefix="xor-bench-", dir=options.scratch) as directory:
        figures = measure(options, Path(directory), link)
    if not options.json:
        print(_summary(figures))
    if options.save:
        _RESULTS.mkdir(exist_ok=True)
        name = "join" if options.join == "sealed" else options.join
        path = _RESULTS / f"{name}-{figures['oprf']}-{options.net}-{options.rows}.json"
        path.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures))


def measure(options: argparse.Namespace, scratch: Path, link: Link | None) -> dict[str, Any]:
    """All runs, checked against each other, as one object."""
    files = data.write(scratch, options.rows)
    python, reason = _peer(options.peer)
    ours, floor, peer = [], [], []
    private = run.private if options.join == "sealed" else run.matched
    for _ in range(options.runs):
        ours.append(private(files, scratch, options.oprf, link))
        floor.append(run.plaintext(files, scratch))
        run.check_same_rows(scratch)
        if python:
            try:
                peer.append(spu.measure(files, scratch, python, link))
            except spu.Unavailable as error:
                python, reason, peer = None, str(error), []
    found = {each["matches"] for each in (*ours, *floor, *peer)}
    if found != {files.matches}:
        raise AssertionError(f"{files.matches} matches expected, found {sorted(found)}")
    return _figures(options, link, (ours, floor, peer), reason)


def _peer(name: str) -> tuple[str | None, str | None]:
    """The peer's interpreter, or why there is none."""
    if name != "spu":
        return None, "not asked for"
    try:
        return spu.installed(_PEER_HOME), None
    except spu.Unavailable as error:
        return None, str(error)


_Runs = tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]


def _figures(
    options: argparse.Namespace, link: Link | None, runs: _Runs, reason: str | None
) -> dict[str, Any]:
    ours, floor, peer = runs
    middle = run.median_of(ours)
    seconds, plaintext_s = median(_seconds(ours)), median(_seconds(floor))
    peer_s = median(_seconds(peer)) if peer else None
    formula_s = link.formula_s(middle["sent_bytes"], middle["rounds"]) if link else None
    return {
        "rows": options.rows,
        "matches": middle["matches"],
        "join": options.join,
        "oprf": options.oprf,
        "net": options.net,
        "profile": _core.PROFILE,
        "seconds": round(seconds, 3),
        "plaintext_seconds": round(plaintext_s, 3),
        "ratio": round(seconds / plaintext_s, 2),
        "peer_seconds": round(peer_s, 3) if peer_s else None,
        "peer": f"SPU {spu.VERSION} RR22" if peer_s else reason,
        "formula_seconds": round(formula_s, 3) if formula_s else None,
        "formula_ratio": round(middle["players_seconds"] / formula_s, 2) if formula_s else None,
        "processes": list(middle["steps"]),
        "sent_bytes": middle["sent_bytes"],
        "stream_bytes": middle["stream_bytes"],
        "wire_bytes": middle["wire_bytes"],
        "rounds": middle["rounds"],
        "peak_mib": [max(each) for each in zip(*(one["peak_mib"] for one in ours), strict=True)],
        "plaintext_peak_mib": max(each["peak_mib"] for each in floor),
        "peer_peak_mib": run.median_of(peer)["peak_mib"] if peer else None,
        "cpu_seconds": middle["cpu_seconds"],
        "plaintext_cpu_seconds": run.median_of(floor)["cpu_seconds"],
        "peer_cpu_seconds": run.median_of(peer)["cpu_seconds"] if peer else None,
        "players_seconds": round(middle["players_seconds"], 3),
        "steps": middle["steps"],
        "plaintext_steps": run.median_of(floor)["steps"],
        "all_seconds": [[round(each, 3) for each in _seconds(some)] for some in (ours, floor, peer)],
        "computer": _computer(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _seconds(runs: list[dict[str, Any]]) -> list[float]:
    return [each["seconds"] for each in runs]


def _computer() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores, {names[0] if names else 'unknown'}"


def _summary(figures: dict[str, Any]) -> str:
    peer = f"{figures['peer_seconds']} s" if figures["peer_seconds"] else f"not measured ({figures['peer']})"
    lines = [
        f"{figures['rows']} rows a side, {figures['matches']} matches, {figures['join']} join",
        f"  over          {figures['oprf']}, {figures['net']}",
        f"  private join  {figures['seconds']} s, {figures['ratio']} x polars",
        f"  polars        {figures['plaintext_seconds']} s",
        f"  SPU RR22      {peer}",
        f"  memory        {figures['peak_mib']} MiB ({', '.join(figures['processes'])})",
        f"  between them  {figures['sent_bytes']} bytes, {figures['rounds']} rounds",
    ]
    if figures["formula_seconds"]:
        lines.append(f"  formula       {figures['formula_seconds']} s, players {figures['formula_ratio']} x")
    lines += [
        f"  {name:<13} " + ", ".join(f"{step} {seconds:.3f}" for step, seconds in steps.items())
        for name, steps in figures["steps"].items()
    ]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.join", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each side")
    parser.add_argument(
        "--join",
        choices=["sealed", "matched"],
        default="sealed",
        help="sealed to an analyst, or a player learns what matched",
    )
    parser.add_argument("--oprf", default=BACK_ENDS[-1], help=f"back end: {', '.join(BACK_ENDS)}")
    parser.add_argument("--peer", choices=["none", "spu"], default="none", help="measured as well")
    parser.add_argument(
        "--net", choices=["lan", "wan"], default="lan", help="loopback, or 100 Mbit/s and 80 ms"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where the files lie meanwhile")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
