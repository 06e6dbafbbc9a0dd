"""`make kills`: kills processes at random moments of demo-sized jobs, and says at which step that was.

Every kill must end in the right result or in a typed error, leave nothing behind, and let the next run
succeed. At which step a job is, the service shows; moments are drawn so that every step gets its share.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xor import session
from xor.errors import XorError
from xor.session import Session
from xor.testing import banks, campaign
from xor.testing.demo import network_text
from xor.testing.local import LocalNetwork
from xor.testing.processes import Started, children, load, wait_until
from xor.wire.messages import Entry, JobState, JobView, Kind

NETWORK = "two-parties"
PLAYERS = ("player-0", "player-1")
VICTIMS = ("service", "client", *PLAYERS, *(f"worker of {player}" for player in PLAYERS))
STEPS = (
    "judging",
    "approving",
    "reading",
    "meeting",
    "hello",
    "keys",
    "oprf",
    "cells",
    "seal",
    "uploading",
    "fetching",
)
"""What a job goes through, in order; some are too short to be seen in every run."""
CLIENT = """
import hashlib, json, sys
from xor import dataframe as xf
from xor import session
from xor.errors import XorError
from xor.testing.programs import selected

try:
    with session.open_session("localhost", int(sys.argv[1])):
        client = xf.Client("two-parties", "localhost", int(sys.argv[1]))
        frame = selected(client).run(reveal=True, timeout_s=float(sys.argv[2])).reveal()
        rows = sorted(map(str, frame.itertuples(index=False, name=None)))
        print(json.dumps({"rows": len(rows), "digest": hashlib.sha256("".join(rows).encode()).hexdigest()}))
except XorError as error:
    print(json.dumps({"error": type(error).__name__, "code": error.code}))
"""
TIMEOUT_S = 60
SETTLE_S = 30


@dataclass
class Watch:
    """Follows the newest job from beside, as its analyst may, and knows at which step it is.

    `seen` are times of the system's clock at which a step was first seen.
    """

    sess: Session
    known: frozenset[str]
    step: str = "submitting"
    seen: dict[str, float] = field(default_factory=dict)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _follow(self) -> None:
        job: str | None = None
        entries: list[Entry] = []
        position = 0
        while not self._is_over.is_set():
            try:
                if job is None:
                    jobs = {each.job for each in self.sess.transport.jobs(NETWORK)}
                    if not (fresh := [*(jobs - self.known)]):
                        self._is_over.wait(0.01)
                        continue
                    job = fresh[0]
                view = self.sess.transport.job(NETWORK, job, position, 0)
            except XorError:
                self._is_over.wait(0.05)
                continue
            entries += view.entries
            position = max((each.position for each in view.entries), default=position)
            self._note(_step_of(view, Counter(each.kind for each in entries)))
            self._is_over.wait(0.005)

    def _note(self, step: str) -> None:
        self.step = step
        self.seen.setdefault(step, time.monotonic())

    def has_come_to(self, step: str) -> bool:
        return self.step not in STEPS[: STEPS.index(step)] and self.step != "submitting"


def _step_of(view: JobView, said: Counter[Kind]) -> str:
    if view.state.is_final:
        return "fetching" if view.state is JobState.RELEASED else "ended"
    if said[Kind.MANIFEST]:
        return "uploading"
    if view.progress and said[Kind.OFFER] == len(PLAYERS):
        newest = max(view.progress, key=lambda each: STEPS.index(each.step) if each.step in STEPS else -1)
        return newest.step if newest.step in STEPS else "hello"
    if said[Kind.OFFER] == len(PLAYERS):
        return "hello"
    if said[Kind.OFFER]:
        return "meeting"
    if said[Kind.APPROVAL] == len(PLAYERS):
        return "reading"
    return "approving" if said[Kind.APPROVAL] else "judging"


class Campaign:
    """Kills over one running network."""

    def __init__(self, network: LocalNetwork, chance: random.Random, name: str) -> None:
        self.network = network
        self.chance = chance
        self.name = name
        self.sess = session.open_session("localhost", network.port)
        self.results: list[dict[str, Any]] = []
        self.right = run_alone(self.network.port)
        assert "rows" in self.right, self.right
        self.usual = self._usual()

    def close(self) -> None:
        self.sess.close()

    def kill_one(self, step: str, victim: str) -> dict[str, Any]:
        """One job with one kill aimed at a step; raises AssertionError if a promise is broken."""
        with client_of(self.network.port) as client, Watch(self.sess, self._jobs()) as watch:
            wait_until(lambda: client.poll() is not None or watch.has_come_to(step), TIMEOUT_S, step_s=0.001)
            time.sleep(self.chance.uniform(0, self._usual_length(step)))
            at = "after the end" if client.poll() is not None else watch.step
            self._kill(victim, client)
            outcome = outcome_of(client)
        found = {"back_end": self.name, "victim": victim, "step": at, **outcome}
        assert outcome == self.right or "error" in outcome or victim == "client", found
        again = run_alone(self.network.port)
        assert again == self.right, {**found, "again": again}
        assert (left := leftovers(self.network)) == [], {**found, "left": left}
        self.results.append(found)
        return found

    def _usual_length(self, step: str) -> float:
        """How long a step took in an undisturbed run."""
        runs = [seen for seen in self.usual if step in seen]
        if not runs:
            return 0.0
        seen = self.chance.choice(runs)
        return min((at for at in seen.values() if at > seen[step]), default=seen[step] + 0.05) - seen[step]

    def _usual(self) -> list[dict[str, float]]:
        found = []
        for _ in range(3):
            with client_of(self.network.port) as client, Watch(self.sess, self._jobs()) as watch:
                assert outcome_of(client) == self.right
            found.append(watch.seen)
        return found

    def _jobs(self) -> frozenset[str]:
        return frozenset(each.job for each in self.sess.transport.jobs(NETWORK))

    def _kill(self, victim: str, client: subprocess.Popen[str]) -> None:
        if victim == "client":
            client.kill()
        elif victim.startswith("worker of "):
            for worker in children(process_of(self.network, victim.removeprefix("worker of "))):
                worker.kill()
        else:
            process_of(self.network, victim).kill()
            start = self.network.start_service if victim == "service" else None
            back = start() if start else self.network.start_machine(victim)
            self.network.remember(back)


@contextmanager
def client_of(port: int, timeout_s: float = TIMEOUT_S) -> Iterator[subprocess.Popen[str]]:
    """A client that runs the example program at the service of a port; killed and cleaned up at the end."""
    with tempfile.TemporaryDirectory(prefix="xor-client-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(port), str(timeout_s)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TMPDIR": folder},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def outcome_of(client: subprocess.Popen[str]) -> Mapping[str, Any]:
    """How a client's run ended: a count and digest of rows, or an error."""
    out, _ = client.communicate(timeout=2 * TIMEOUT_S)
    return dict(json.loads(out)) if out else {"error": "killed"}


def run_alone(port: int) -> Mapping[str, Any]:
    with client_of(port) as client:
        return outcome_of(client)


def process_of(network: LocalNetwork, name: str) -> Started:
    return next(each for each in load(network.pids) if each.name == name)


def leftovers(network: LocalNetwork) -> list[str]:
    """What should be gone when no job runs: job directories, partial uploads, workers but one spare each."""

    def left() -> list[str]:
        folders = [network.machine_directory(player) / "jobs" for player in PLAYERS]
        folders.append(network.directory / "service" / "blobs" / "partial")
        files = [str(each) for folder in folders for each in folder.iterdir()]
        workers = [f"{player}: {len(children(process_of(network, player)))} workers" for player in PLAYERS]
        dead = [each.name for each in load(network.pids) if not each.is_alive]
        return files + dead + [each for each in workers if int(each.split()[1]) > 1]

    wait_until(lambda: not left(), SETTLE_S, step_s=0.1)
    return left()


@contextmanager
def network_of(directory: Path, port: int, rows: int, oprf: str) -> Iterator[LocalNetwork]:
    """The demo's network with `rows` transactions, whose machines run one back end of the OPRF."""
    network = made(directory, port, rows)
    try:
        run_only(network, oprf)
        network.start(lambda _text: None)
        yield network
    finally:
        network.down(lambda _text: None)


def made(directory: Path, port: int, rows: int) -> LocalNetwork:
    """The demo's network with `rows` transactions, not started yet."""
    os.environ["XOR_HOME"] = str(directory / "home")
    banks.write(directory, rows=rows, accounts=rows // 10)
    file = directory / "network.toml"
    file.write_text(network_text(rows, rows // 10, None))
    network = LocalNetwork.at(file, port)
    network.create(lambda _text: None)
    return network


def run_only(network: LocalNetwork, oprf: str, stall_timeout_s: int = 120) -> None:
    """Machines that have not been started yet will run one back end of the OPRF."""
    for player in PLAYERS:
        settings = network.machine_directory(player) / "machine.toml"
        added = f'oprf = ["{oprf}"]\nstall_timeout_s = {stall_timeout_s}\n'
        settings.write_text(settings.read_text() + added)


def aims(kills: int, chance: random.Random) -> list[tuple[str, str]]:
    """Steps and victims: every step about as often, every victim about as often."""
    steps = [STEPS[number % len(STEPS)] for number in range(kills)]
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(kills)]
    chance.shuffle(victims)
    return list(zip(steps, victims, strict=True))


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Kills by step: how many, and how the jobs ended."""
    lines = [f"{'step':<16}{'kills':>6}{'right':>7}{'typed':>7}"]
    for step in (*STEPS, "submitting", "ended", "after the end"):
        mine = [each for each in results if each["step"] == step]
        right = sum("rows" in each for each in mine)
        if mine:
            lines.append(f"{step:<16}{len(mine):>6}{right:>7}{len(mine) - right:>7}")
    return "\n".join(lines)


def run(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Kills over both back ends, until each step has had its share."""
    chance = random.Random(chosen.seed)
    for number, (oprf, rows) in enumerate((("vole", chosen.rows), ("dh", chosen.rows // 10))):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xor-kills-")))
            network = stack.enter_context(network_of(folder, chosen.port + number, rows, oprf))
            here = Campaign(network, chance, oprf)
            stack.callback(here.close)
            seen = {step for each in here.usual for step in each}
            todo = aims(chosen.kills // 2, chance)
            while todo:
                yield here.kill_one(*todo.pop())
                rare = Counter(each["step"] for each in here.results)
                if not todo and len(here.results) < 2 * chosen.kills:
                    # Moments are drawn, not placed: some steps have been missed more often than others.
                    todo = [
                        (step, chance.choice(VICTIMS))
                        for step in STEPS
                        if step in seen and rare[step] < (chosen.least + 1) // 2
                    ]


def main() -> int:
    parser = campaign.parser("make kills", __doc__, port=3310)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--least", type=int, default=5, help="of each step that undisturbed runs show")
    parser.add_argument("--rows", type=int, default=200_000, help="transactions; a tenth of it for dh")
    chosen = parser.parse_args()
    results = campaign.shown(chosen, run(chosen))
    print(table(results))
    counted = Counter(each["step"] for each in results)
    return 0 if all(counted[step] >= chosen.least for step in STEPS if counted[step]) else 1


if __name__ == "__main__":
    sys.exit(main())
