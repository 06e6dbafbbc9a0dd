"""`make faults`: lines that are slow, half-open or flapping between client, service and machines.

Every job must end in the right result, or in a typed error where the line is the cause; it must leave nothing
behind; and once the line is well, the next run succeeds. A line that is only slow costs nothing but time.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from xor.testing import campaign, kills, rewire
from xor.testing.kills import PLAYERS, client_of, leftovers, outcome_of, run_alone
from xor.testing.local import LocalNetwork
from xor.testing.proxy import Line, Proxy

WELL = Line()
SLOW = Line(delay_s=0.02, bytes_per_s=500_000)
STALL_TIMEOUT_S = 8
HALF_OPEN_S = 12.0
FLAPS_S = 0.4
LINES = ("client to service", "machines to service", "machine to machine")


class Faults:
    """Faulty lines in one running network.

    Args:
        lines: the proxy of each of `LINES`.
    """

    def __init__(self, network: LocalNetwork, lines: Mapping[str, Proxy], chance: random.Random) -> None:
        self.network = network
        self.lines = lines
        self.chance = chance
        self.port = lines[LINES[0]].port
        self.right = run_alone(self.port)
        assert "rows" in self.right, self.right
        before = {name: line.carried for name, line in lines.items()}
        assert run_alone(self.port) == self.right
        self.usual = {name: line.carried - before[name] for name, line in lines.items()}

    def slow(self, name: str) -> Mapping[str, Any]:
        """All bytes of a job come late and few at a time."""
        self.lines[name].line = SLOW
        before = self.lines[name].carried
        outcome = run_alone(self.port)
        assert outcome == self.right, (name, outcome)
        return self._settled("slow", name, outcome, self.lines[name].carried - before)

    def half_open(self, name: str) -> Mapping[str, Any]:
        """At a random place of a job every connection falls silent, and stays open; later ones are well."""
        here = self.lines[name]
        before = here.silenced
        with client_of(self.port) as client:
            silent_after = self.chance.randrange(max(1, self.usual[name] // 4))
            here.line = Line(silent_after=silent_after)
            timer = threading.Timer(HALF_OPEN_S, self._heal, [name])
            timer.start()
            outcome = outcome_of(client)
            timer.join()
        return self._settled("half-open", name, outcome, here.silenced - before)

    def flapping(self, name: str) -> Mapping[str, Any]:
        """Connections are cut at random places, again and again, for as long as the job runs."""
        here = self.lines[name]
        is_over = threading.Event()

        def flap() -> None:
            while not is_over.is_set():
                here.line = Line(cut_within=self.chance.randrange(1, max(2, self.usual[name])))
                is_over.wait(self.chance.uniform(0, FLAPS_S))
                here.line = WELL
                is_over.wait(self.chance.uniform(0, FLAPS_S))

        before = here.cuts
        thread = threading.Thread(target=flap)
        thread.start()
        try:
            outcome = run_alone(self.port)
        finally:
            is_over.set()
            thread.join()
        return self._settled("flapping", name, outcome, here.cuts - before)

    def _heal(self, name: str) -> None:
        self.lines[name].line = WELL

    def _settled(self, fault: str, name: str, outcome: Mapping[str, Any], hits: int) -> Mapping[str, Any]:
        """What must hold whatever has happened.

        Args:
            hits: connections that were cut or silenced, or bytes that came slowly.
        """
        self._heal(name)
        found = {"fault": fault, "line": name, "hits": hits, **outcome}
        assert outcome == self.right or "code" in outcome, found
        assert (left := leftovers(self.network)) == [], {**found, "left": left}
        again = run_alone(self.port)
        assert again == self.right, {**found, "again": again}
        return found

    def all(self) -> Iterator[Callable[[], Mapping[str, Any]]]:
        """Each fault on each line, once."""
        for name in LINES:
            for fault in (self.slow, self.half_open, self.flapping):
                yield partial(fault, name)


@contextmanager
def network_of(directory: Path, port: int, rows: int, oprf: str, chance: random.Random) -> Iterator[Faults]:
    """The demo's network with a proxy on every line, whose machines run one back end of the OPRF."""
    network = kills.made(directory, port, rows)
    kills.run_only(network, oprf, stall_timeout_s=STALL_TIMEOUT_S)
    with ExitStack() as stack:
        to_service = [
            stack.enter_context(Proxy(("127.0.0.1", port), chance.randrange(2**32))) for _ in range(2)
        ]
        rewire.machines_to_service(network, PLAYERS, to_service[1].port)
        rewire.clients_to_service(network, to_service[0].port)
        stack.callback(network.down, lambda _text: None)
        network.start(lambda _text: None)
        there = rewire.listening(network, "player-0")
        to_machine = stack.enter_context(Proxy(there, chance.randrange(2**32)))
        rewire.machines_to(network, "player-0", to_machine.port)
        yield Faults(network, dict(zip(LINES, (*to_service, to_machine), strict=True)), chance)


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Jobs by line and fault: how many, and how they ended."""
    lines = [f"{'line':<22}{'fault':<12}{'jobs':>5}{'right':>7}{'typed':>7}"]
    for name in LINES:
        for fault in ("slow", "half-open", "flapping"):
            mine = [each for each in results if (each["line"], each["fault"]) == (name, fault)]
            right = sum("rows" in each for each in mine)
            lines.append(f"{name:<22}{fault:<12}{len(mine):>5}{right:>7}{len(mine) - right:>7}")
    return "\n".join(lines)


def run(chosen: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    """All faults on all lines over both back ends, several times."""
    chance = random.Random(chosen.seed)
    for number, oprf in enumerate(("vole", "dh")):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xor-faults-")))
            faults = stack.enter_context(network_of(folder, chosen.port + number, chosen.rows, oprf, chance))
            for _ in range(chosen.rounds):
                for fault in faults.all():
                    yield {"back_end": oprf, **fault()}


def main() -> int:
    parser = campaign.parser("make faults", __doc__, port=3350)
    parser.add_argument("--rounds", type=int, default=3, help="of each fault on each line, per back end")
    parser.add_argument("--rows", type=int, default=20_000, help="transactions")
    chosen = parser.parse_args()
    print(table(campaign.shown(chosen, run(chosen))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
