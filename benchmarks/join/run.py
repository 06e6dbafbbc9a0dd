"""One run of the private join, and one of the floor: processes, the clock and the joined files."""

import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.join.crew import Process, set_off, started
from benchmarks.join.data import Files
from benchmarks.join.shaper import Link

_OURS = ("benchmarks.join.player", "benchmarks.join.player", "benchmarks.join.analyst")
_MATCHING = "benchmarks.join.matching"
NAMES = ("player-0", "player-1", "analyst")


def private(files: Files, scratch: Path, oprf: str, link: Link | None) -> dict[str, Any]:
    """Two players and an analyst: seconds from the files' opening to the joined one's closing."""
    streams = [scratch / f"stream-{side}" for side in (0, 1)]
    for each in streams:
        each.unlink(missing_ok=True)
    with ExitStack() as stack:
        *players, analyst = stack.enter_context(started(_OURS, scratch))
        for side, (player, csv) in enumerate(zip(players, (files.transactions, files.accounts), strict=True)):
            player.say(rows=files.rows, oprf=oprf, side=side, csv=str(csv), stream=str(streams[side]))
        analyst.say(rows=files.rows, oprf=oprf, joined=str(scratch / "private.csv"))
        shaper = _meet(players, analyst, link, scratch, stack)
        began = set_off([*players, analyst])
        found = [each.hear() for each in players]
        analyst.say(streams=[each["stream"] for each in found])
        found.append(analyst.hear())
        passed = _passed_bytes(shaper)
    return {
        "seconds": found[2]["ended"] - began,
        "matches": found[2]["matches"],
        "sent_bytes": [each["sent_bytes"] for each in found[:2]],
        "stream_bytes": [each["stream_bytes"] for each in found[:2]],
        "wire_bytes": passed,
        "rounds": max(each["rounds"] for each in found[:2]),
        "peak_mib": [each["peak_mib"] for each in found],
        "cpu_seconds": [each["cpu_seconds"] for each in found],
        "players_seconds": max(each["ended"] for each in found[:2]) - began,
        "steps": {name: _by_step(each["steps"]) for name, each in zip(NAMES, found, strict=True)},
    }


def matched(files: Files, scratch: Path, oprf: str, link: Link | None) -> dict[str, Any]:
    """Two players, of which the first learns what matched and writes it: the clock as in `private`."""
    csvs = (files.transactions, files.accounts)
    with ExitStack() as stack:
        players = stack.enter_context(started([_MATCHING, _MATCHING], scratch))
        for side, (player, csv) in enumerate(zip(players, csvs, strict=True)):
            joined = str(scratch / "private.csv")
            player.say(rows=files.rows, oprf=oprf, side=side, csv=str(csv), joined=joined)
        shaper = _meet(players, None, link, scratch, stack)
        began = set_off(players)
        found = [each.hear() for each in players]
        passed = _passed_bytes(shaper)
    return {
        "seconds": found[0]["ended"] - began,
        "matches": found[0]["matches"],
        "sent_bytes": [each["sent_bytes"] for each in found],
        "stream_bytes": [0, 0],
        "wire_bytes": passed,
        "rounds": max(each["rounds"] for each in found),
        "peak_mib": [each["peak_mib"] for each in found],
        "cpu_seconds": [each["cpu_seconds"] for each in found],
        "players_seconds": max(each["ended"] for each in found) - began,
        "steps": {name: _by_step(each["steps"]) for name, each in zip(NAMES, found, strict=False)},
    }


def _meet(
    players: list[Process], analyst: Process | None, link: Link | None, scratch: Path, stack: ExitStack
) -> Process | None:
    """Public keys and addresses go round; side 1 calls side 0, through the link if there is one."""
    offers = [each.hear() for each in players]
    seal_key = analyst.hear()["seal_key"] if analyst else None
    port, shaper = offers[0]["port"], None
    if link:
        (shaper,) = stack.enter_context(started(["benchmarks.join.shaper"], scratch))
        shaper.say(ports=[port], bits_per_s=link.bits_per_s, rtt_s=link.rtt_s)
        (port,) = shaper.hear()["ports"]
    for player, peer in zip(players, offers[::-1], strict=True):
        player.say(seal_key=seal_key, peer_key=peer["job_key"], port=port)
    return shaper


def _passed_bytes(shaper: Process | None) -> list[int] | None:
    if shaper is None:
        return None
    shaper.say(passed=True)
    found: list[int] = shaper.hear()["passed_bytes"]
    return found


def _by_step(steps: list[dict[str, Any]]) -> dict[str, float]:
    return {each["step"]: each["seconds"] for each in steps}


def plaintext(files: Files, scratch: Path) -> dict[str, Any]:
    """Polars on the same files, in a process of its own."""
    with started(["benchmarks.join.floor"], scratch) as (floor,):
        floor.say(
            transactions=str(files.transactions),
            accounts=str(files.accounts),
            joined=str(scratch / "plaintext.csv"),
        )
        began = set_off([floor])
        found = floor.hear()
    return {
        "seconds": found["ended"] - began,
        "matches": found["matches"],
        "peak_mib": found["peak_mib"],
        "cpu_seconds": found["cpu_seconds"],
        "steps": _by_step(found["steps"]),
    }


def check_same_rows(scratch: Path) -> None:
    """The joined files hold the same rows, every field with the same text, in whatever order.

    Raises:
        AssertionError: they do not.
    """
    ours, theirs = (
        pl.read_csv(scratch / f"{name}.csv", infer_schema=False) for name in ("private", "plaintext")
    )
    if ours.columns != theirs.columns or not ours.sort(ours.columns).equals(theirs.sort(ours.columns)):
        raise AssertionError("the private join's file does not have the rows of the plaintext join's")


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run in the middle by its seconds: its steps belong together."""
    middle = statistics.median_low(each["seconds"] for each in runs)
    return next(each for each in runs if each["seconds"] == middle)
