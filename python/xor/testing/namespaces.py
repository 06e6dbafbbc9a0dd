"""`python -m xor.testing.namespaces`: two computers and a cable, made of network namespaces of this kernel.

On one are the service, a client and `player-0`, on the other `player-1`. The cable is pulled for good, pulled
and plugged again and again, or narrow: packets are lost without anybody being told, as no proxy can do it.
Run it in a network namespace of its own: `unshare -n`, or `unshare -Urn` as an ordinary user.
"""

from __future__ import annotations

import ctypes
import random
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xor.service import configuration
from xor.testing import campaign, kills, processes
from xor.testing.faults import STALL_TIMEOUT_S
from xor.testing.kills import client_of, leftovers, outcome_of, run_alone
from xor.testing.local import LocalNetwork
from xor.testing.processes import Started

HERE, THERE = "10.77.0.1", "10.77.0.2"
OUR_END, THEIR_END = "xor0", "xor1"
ELSEWHERE = "player-1"
NARROW = ("tbf", "rate", "4mbit", "burst", "16kb", "latency", "20ms")
"""A queue of 10 KB behind a slow link: whatever comes faster is dropped."""
PULLED_S = 45.0
"""Longer than a machine waits for the service's answer to a poll, and for another machine."""


@dataclass(frozen=True)
class TwoComputers(LocalNetwork):
    """A local network of which one machine runs in another namespace."""

    other: int = 0
    """A process of the other namespace."""

    def start_machine(self, player: str, environment: Mapping[str, str] | None = None) -> Started:
        if player != ELSEWHERE:
            return super().start_machine(player, environment)
        arguments = [__spec__.name, "--enter", str(self.other), "xor.machine"]
        arguments += ["--dir", str(self.machine_directory(player))]
        log = self.directory / "logs" / f"{player}.log"
        return processes.start(player, arguments, log, dict(environment or {}))

    def _service_arguments(self) -> list[str]:
        return [*super()._service_arguments(), "--host", "0.0.0.0"]


@contextmanager
def cable() -> Iterator[int]:
    """Another namespace at the end of a cable; gives the id of a process in it."""
    assert [name for _, name in socket.if_nameindex()] == ["lo"], "this is a namespace in use"
    keeper = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec cat"], stdin=-1, stdout=-1)
    try:
        assert keeper.stdout is not None
        keeper.stdout.readline()
        ip("link", "set", "lo", "up")
        ip("link", "add", OUR_END, "type", "veth", "peer", "name", THEIR_END, "netns", str(keeper.pid))
        ip("addr", "add", f"{HERE}/24", "dev", OUR_END)
        ip("link", "set", OUR_END, "up")
        for command in (f"addr add {THERE}/24 dev {THEIR_END}", f"link set {THEIR_END} up", "link set lo up"):
            subprocess.run(["nsenter", "-t", str(keeper.pid), "-n", "ip", *command.split()], check=True)
        yield keeper.pid
    finally:
        keeper.kill()
        keeper.communicate()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def pull() -> None:
    ip("link", "set", OUR_END, "down")


def plug() -> None:
    ip("link", "set", OUR_END, "up")


@contextmanager
def network_of(directory: Path, port: int, rows: int, oprf: str) -> Iterator[TwoComputers]:
    with cable() as other:
        made = kills.made(directory, port, rows)
        kills.run_only(made, oprf, stall_timeout_s=STALL_TIMEOUT_S)
        network = TwoComputers(made.file, made.directory, made.port, other)
        settings = network.directory / "service" / configuration.NAME
        settings.write_text(f'names = ["{HERE}"]\n')
        settings.chmod(0o600)
        for player, host in (("player-0", HERE), (ELSEWHERE, THERE)):
            file = network.machine_directory(player) / "machine.toml"
            text = file.read_text().replace(f"127.0.0.1:{port}", f"{HERE}:{port}")
            file.write_text(text.replace("127.0.0.1:0", f"{host}:0"))
        try:
            network.start(lambda _text: None)
            yield network
        finally:
            network.down(lambda _text: None)


def narrow(port: int) -> Mapping[str, Any]:
    """A job over a link that loses what comes too fast."""
    subprocess.run(["tc", "qdisc", "add", "dev", OUR_END, "root", *NARROW], check=True)
    try:
        outcome = run_alone(port)
        said = subprocess.run(
            ["tc", "-s", "qdisc", "show", "dev", OUR_END], check=True, capture_output=True, text=True
        )
        dropped = int(said.stdout.split("dropped ")[1].split(",")[0])
        assert dropped, "nothing was lost"
        return outcome
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", OUR_END, "root"], check=True)


def pulled(port: int, chance: random.Random, pulled_s: float) -> Mapping[str, Any]:
    """The cable is pulled within a job: nobody hears of it. After a while it is plugged again."""
    with client_of(port) as client:
        time.sleep(chance.uniform(1.0, 4.0))
        pull()
        timer = threading.Timer(pulled_s, plug)
        timer.start()
        outcome = outcome_of(client)
        timer.join()
    return outcome


def flapping(port: int, chance: random.Random) -> Mapping[str, Any]:
    """The cable has a loose contact, for as long as a job runs."""
    is_over = threading.Event()

    def flap() -> None:
        while not is_over.is_set():
            pull()
            is_over.wait(chance.uniform(0, 1.0))
            plug()
            is_over.wait(chance.uniform(0, 1.5))

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        return run_alone(port)
    finally:
        is_over.set()
        thread.join()
        plug()


def run(network: LocalNetwork, chance: random.Random, pulled_s: float) -> Iterator[Mapping[str, Any]]:
    """Each fault once; raises AssertionError if a promise is broken."""
    right = run_alone(network.port)
    assert "rows" in right, right
    faults = {
        "narrow": partial(narrow, network.port),
        "pulled": partial(pulled, network.port, chance, pulled_s),
        "flapping": partial(flapping, network.port, chance),
    }
    for name, fault in faults.items():
        began = time.monotonic()
        outcome = fault()
        found = {"fault": name, **outcome, "seconds": round(time.monotonic() - began, 1)}
        assert outcome == right or ("code" in outcome and name != "narrow"), found
        assert (left := leftovers(network)) == [], {**found, "left": left}
        again = run_alone(network.port)
        assert again == right, {**found, "again": again}
        yield found


def enter(process: int, module: str, arguments: Sequence[str]) -> None:
    """Becomes `python -m MODULE ...` in the network namespace of a process."""
    with Path(f"/proc/{process}/ns/net").open() as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> int:
    if sys.argv[1:2] == ["--enter"]:
        enter(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
        return 0
    parser = campaign.parser("python -m xor.testing.namespaces", __doc__, port=3360)
    parser.add_argument("--oprf", choices=("vole", "dh"), default="vole")
    parser.add_argument("--rows", type=int, default=20_000, help="transactions")
    parser.add_argument("--pulled", type=float, default=PULLED_S, help="seconds that the cable is out")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="xor-namespaces-") as folder,
        network_of(Path(folder), chosen.port, chosen.rows, chosen.oprf) as network,
    ):
        campaign.shown(chosen, run(network, random.Random(chosen.seed), chosen.pulled))
    return 0


if __name__ == "__main__":
    sys.exit(main())
