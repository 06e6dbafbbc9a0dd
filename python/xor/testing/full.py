"""`python -m xor.testing.full`: disks of service and machines fill up within jobs, and are freed again.

Each directory gets a small file system of its own (tmpfs): what is full is full for SQLite, for streams and
for spilled rows alike. Run it in a mount namespace: `unshare -m`, or `unshare -Urm` as an ordinary user.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xor.testing import campaign, kills
from xor.testing.kills import PLAYERS, client_of, leftovers, outcome_of, run_alone
from xor.testing.local import LocalNetwork
from xor.testing.processes import load

DISK = "64m"
PATIENCE_S = 20
"""Of the client: nobody starts a machine again before its disk is freed."""
PIECE = b"\0" * 4096


def make_small(directory: Path) -> None:
    """Puts a directory with all it holds on a small file system."""
    before = directory.with_name(directory.name + ".before")
    directory.rename(before)
    directory.mkdir(mode=0o700)
    options = f"size={DISK},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)
    shutil.copytree(before, directory, dirs_exist_ok=True)
    shutil.rmtree(before)


@contextmanager
def filled(directory: Path) -> Iterator[None]:
    """Not one page is left on a directory's file system."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(PIECE):
            pass
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def network_of(directory: Path, port: int, rows: int, oprf: str) -> Iterator[LocalNetwork]:
    network = kills.made(directory, port, rows)
    kills.run_only(network, oprf)
    disks = [network.directory / "service", *map(network.machine_directory, PLAYERS)]
    try:
        for disk in disks:
            make_small(disk)
        network.start(lambda _text: None)
        yield network
    finally:
        for disk in disks:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        network.down(lambda _text: None)


def restarted(network: LocalNetwork) -> bool:
    """Does what the system does: starts again who has ended. Says whether somebody had."""
    ended = [each for each in load(network.pids) if not each.is_alive]
    for each in ended:
        is_service = each.name == "service"
        network.remember(network.start_service() if is_service else network.start_machine(each.name))
    return bool(ended)


def run(network: LocalNetwork, chance: random.Random, rounds: int) -> Iterator[Mapping[str, Any]]:
    """Fills each disk in as many jobs; raises AssertionError if a promise is broken."""
    began = time.monotonic()
    right = run_alone(network.port)
    usual_s = time.monotonic() - began
    assert "rows" in right, right
    disks = {"service": network.directory / "service"}
    disks |= {player: network.machine_directory(player) for player in PLAYERS}
    for _ in range(rounds):
        for name, directory in disks.items():
            moment_s = chance.uniform(0, usual_s)
            with client_of(network.port, PATIENCE_S) as client:
                time.sleep(moment_s)
                with filled(directory):
                    outcome = outcome_of(client)
            stopped = restarted(network)
            found = {"disk": name, "moment_s": round(moment_s, 2), "stopped": stopped, **outcome}
            assert outcome == right or "code" in outcome, found
            assert (left := leftovers(network)) == [], {**found, "left": left}
            again = run_alone(network.port)
            assert again == right, {**found, "again": again}
            yield found


def main() -> int:
    parser = campaign.parser("python -m xor.testing.full", __doc__, port=3370)
    parser.add_argument("--oprf", choices=("vole", "dh"), default="vole")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20_000, help="transactions")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="xor-full-") as folder,
        network_of(Path(folder), chosen.port, chosen.rows, chosen.oprf) as network,
    ):
        campaign.shown(chosen, run(network, random.Random(chosen.seed), chosen.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
