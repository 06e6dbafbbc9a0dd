"""The peer: SPU's RR22 from its own wheel, in an environment that only this benchmark uses."""

import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.join.crew import Failed, Process, set_off, started
from benchmarks.join.data import Files
from benchmarks.join.shaper import Link
from benchmarks.join.tables import KEYS

VERSION = "0.9.5"
_PYTHON = "python3.11"  # the newest that its wheels are for
_PLAYER = "benchmarks.join.spu_player"


class Unavailable(Exception):
    """The peer cannot be measured here; the message says why."""


def installed(directory: Path) -> str:
    """The interpreter of an environment with the peer, made at the first call.

    Raises:
        Unavailable: no such Python, or no wheel for this computer.
    """
    python = directory / "bin" / "python"
    marker = directory / f".spu-{VERSION}"
    if marker.exists():
        return str(python)
    if not (base := shutil.which(_PYTHON)):
        raise Unavailable(f"no {_PYTHON}, which SPU's wheels need")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [base, "-m", "venv", "--clear", str(directory)],
        [*pip, "--only-binary", ":all:", f"spu=={VERSION}"],
        [str(python), "-c", "import spu.psi"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Unavailable(f"SPU {VERSION} does not install: {last[:200]}")
    marker.touch()
    return str(python)


def measure(files: Files, scratch: Path, python: str, link: Link | None) -> dict[str, Any]:
    """One run: both players read their file, intersect and write their own matched rows, aligned.

    Raises:
        Unavailable: a player failed.
    """
    modules = [_PLAYER, _PLAYER]
    with started(modules, scratch, python) as players, ExitStack() as stack:
        try:
            ports = _free_ports(2)
            called = _shaped(ports, link, scratch, stack) if link else ports
            _order(players, files, scratch, ports, called)
            began = set_off(players)
            found = [each.hear() for each in players]
        except Failed as error:
            raise Unavailable(str(error)[:500]) from None
    return {
        "seconds": max(each["ended"] for each in found) - began,
        "matches": found[0]["matches"],
        "peak_mib": [each["peak_mib"] for each in found],
        "cpu_seconds": [each["cpu_seconds"] for each in found],
    }


def _order(
    players: Sequence[Process], files: Files, scratch: Path, ports: Sequence[int], called: Sequence[int]
) -> None:
    for rank, (player, path) in enumerate(zip(players, (files.transactions, files.accounts), strict=True)):
        addresses = [f"127.0.0.1:{(ports if each == rank else called)[each]}" for each in (0, 1)]
        joined = str(scratch / f"spu-{rank}.csv")
        player.say(rank=rank, addresses=addresses, csv=str(path), key=KEYS[0][rank], joined=joined)


def _shaped(ports: Sequence[int], link: Link, scratch: Path, stack: ExitStack) -> list[int]:
    """Ports to call instead: the first leads to side 0, the second to side 1."""
    (shaper,) = stack.enter_context(started(["benchmarks.join.shaper"], scratch))
    shaper.say(ports=list(ports), bits_per_s=link.bits_per_s, rtt_s=link.rtt_s)
    found: list[int] = shaper.hear()["ports"]
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; the peer wants numbers, not sockets."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
