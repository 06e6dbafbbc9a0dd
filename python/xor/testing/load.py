"""`make load`: one real service, 200 connected machines and 50 jobs at once, and how its memory fares.

The machines are light: they poll, approve, offer and upload over the real wire with the production client
(`machine.link`), but compute nothing. What is measured is the service.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xor import owner
from xor.errors import XorError
from xor.machine import setup as machine_setup
from xor.machine.directory import Directory
from xor.machine.link import Backoff, Link
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.machine import Capacity
from xor.plan.codec import PAYLOAD_TYPE, encode_plan, plan_hash
from xor.plan.oprf.exchange import BACK_ENDS
from xor.plan.place import place
from xor.plan.placed import PlacedPlan
from xor.plan.relations import Join, Project, Scan
from xor.service import configuration
from xor.service import setup as service_setup
from xor.session.known import login_request
from xor.session.profile import Profile
from xor.session.transport import HttpTransport
from xor.signing import Envelope, SigningKey
from xor.testing import processes
from xor.wire import tls
from xor.wire.messages import Announce, Approval, ApprovedPolicy, JobState, Kind, Manifest, Offer
from xor.wire.trust import Trust, agreement_hash

PLAYERS = ("player-0", "player-1")
STREAM = b"\0" * 20_000
POLL_S = 25
HEARTBEAT_S = 10.0
SAMPLE_S = 5.0
ARRIVALS_PER_S = 10
"""Machines of one address that all come at once are told to come again."""
WARM_S = 180.0
PLENTY = Capacity(memory_bytes=2**40, disk_bytes=2**40, oprf=BACK_ENDS)


@dataclass
class Net:
    """A network of two players with one dataset each, and its analyst."""

    name: str
    folder: Path
    service_key: SigningKey
    keys: dict[str, SigningKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("bank-a", "bank-b", *PLAYERS, "desk")
        self.keys |= {name: SigningKey.generate() for name in names}
        now = int(time.time())
        self.agreement = Agreement(
            network=self.name,
            owners=tuple(Owner(name=name, key=self.keys[name].public) for name in ("bank-a", "bank-b")),
            players=tuple(
                Player(name=name, key=self.keys[name].public, zone="premises", owner=bank)
                for name, bank in zip(PLAYERS, ("bank-a", "bank-b"), strict=True)
            ),
            analysts=(Analyst(name="desk", key=self.keys["desk"].public, seal_key="00" * 1216),),
            service_key=self.service_key.public,
            not_before=now - 60,
            not_after=now + 86_400,
        )
        self.signed = owner.sign_agreement(self.agreement, self.keys["bank-a"], self.keys["bank-b"])
        self.trust = Trust(self.agreement)
        self.entries = [self._entry(index) for index in range(2)]

    def _entry(self, index: int) -> DatasetEntry:
        return DatasetEntry(
            network=self.name,
            name=f"table-{index}",
            owner=f"bank-{'ab'[index]}",
            player=PLAYERS[index],
            columns=(ColumnEntry(name="key", type="int64"),),
            rows=100,
        )

    def plan(self) -> PlacedPlan:
        """A private join of the two tables, good for ten minutes."""
        now = int(time.time())
        sides = [Project(Scan(entry), ((f"key_{index}", "key"),)) for index, entry in enumerate(self.entries)]
        return place(
            Join(sides[0], sides[1], (("key_0", "key_1"),)),
            network=self.name,
            agreement_hash=agreement_hash(self.agreement),
            analyst="desk",
            recipients=("desk",),
            policies={entry.name: 1 for entry in self.entries},
            not_before=now - 5,
            not_after=now + 600,
            nonce=secrets.token_hex(32),
            signatures={
                entry.name: owner.sign_entry(entry, self.keys[entry.owner]).signatures[0].signature
                for entry in self.entries
            },
            permits=lambda _: True,
        )

    def transport(self, port: int) -> HttpTransport:
        key = self.folder / "desk.key"
        if not key.exists():
            self.keys["desk"].save(key)
        pinned = {self.name: agreement_hash(self.agreement)}
        profile = Profile("localhost", port, "desk", signing_key=key, networks=pinned)
        return HttpTransport(
            "localhost",
            port,
            token=None,
            login=lambda network: login_request(profile, network, int(time.time())),
            context=tls.client_context(self.service_key.public),
        )


class LightMachine:
    """A machine that approves everything and answers at once."""

    def __init__(self, net: Net, player: str, port: int) -> None:
        self.net, self.player = net, player
        directory = net.folder / player
        machine_setup.create(
            directory,
            player=player,
            key=net.keys[player],
            agreement=net.signed,
            service_url=f"https://127.0.0.1:{port}",
        )
        self.link = Link(Directory(directory))
        self.stream = net.folder / f"{player}.stream"
        self.stream.write_bytes(STREAM)
        self.plans: dict[str, PlacedPlan] = {}
        self.position = 0
        self.errors: Counter[str] = Counter()
        self._approvals: Counter[str] = Counter()

    async def run(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await asyncio.gather(self._announce(), self._poll())

    async def _announce(self) -> None:
        while True:
            said = Announce(
                network=self.net.name,
                player=self.player,
                at=int(time.time()),
                nonce=secrets.token_hex(32),
                datasets=(),
                policies=(),
                capacity=PLENTY,
            )
            await self._try(self.link.announce(said))
            await asyncio.sleep(HEARTBEAT_S)

    async def _poll(self) -> None:
        backoff = Backoff()
        while True:
            try:
                inbox = await self.link.poll(self.position, POLL_S, int(time.time()), secrets.token_hex(32))
            except XorError as error:
                self.errors[error.code] += 1
                await backoff.pause()
                continue
            backoff.reset()
            for entry in inbox.entries:
                self.position = max(self.position, entry.position)
                await self._answer(entry.kind, entry.job, entry.envelope)

    async def _answer(self, kind: Kind, job: str, text: str) -> None:
        if kind is Kind.PLAN:
            plan, _ = self.net.trust.plan(Envelope.from_bytes(text.encode()))
            self.plans[job] = plan
            mine = [entry for entry in self.net.entries if entry.player == self.player]
            policies = tuple(
                ApprovedPolicy(dataset=entry.name, owner=entry.owner, policy_version=1) for entry in mine
            )
            approval = Approval(network=self.net.name, plan=job, player=self.player, policies=policies)
            await self._try(self.link.say(approval))
        elif kind is Kind.APPROVAL and self._is_complete(job):
            key = secrets.token_hex(32)
            await self._try(
                self.link.say(Offer(network=self.net.name, plan=job, player=self.player, job_key=key))
            )
            await self._upload(job)
        elif kind in (Kind.CLOSED, Kind.CANCEL, Kind.FAILURE, Kind.REFUSAL):
            self.plans.pop(job, None)

    def _is_complete(self, job: str) -> bool:
        """Both have approved: the second approval that is seen says so."""
        self._approvals[job] += 1
        return self._approvals[job] == len(PLAYERS) and job in self.plans

    async def _upload(self, job: str) -> None:
        plan = self.plans.pop(job)
        self._approvals.pop(job, None)
        for part in plan.parts:
            for side, player in enumerate(part.players):
                if player == self.player:
                    manifest = Manifest(
                        network=self.net.name,
                        plan=job,
                        player=player,
                        node=part.node,
                        side=side,
                        attempt="0" * 32,
                        header="00",
                        sha256=hashlib.sha256(STREAM).hexdigest(),
                        bytes=len(STREAM),
                    )
                    await self._try(self.link.upload(manifest, self.stream))

    async def _try(self, request: Any) -> None:
        try:
            await request
        except XorError as error:
            self.errors[error.code] += 1


@dataclass
class Clients:
    """Analysts who run one job after the other; so many at once."""

    nets: Sequence[Net]
    port: int
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    is_over: threading.Event = field(default_factory=threading.Event)

    def run(self, index: int) -> None:
        net = self.nets[index % len(self.nets)]
        line = net.transport(self.port)
        while not self.is_over.is_set():
            began = time.monotonic()
            try:
                self._run_job(net, line)
                self.latencies.append(time.monotonic() - began)
            except XorError as error:
                self.errors[error.code] += 1
                self.is_over.wait(0.5)
        line.close()

    def _run_job(self, net: Net, line: HttpTransport) -> None:
        plan = net.plan()
        job = plan_hash(encode_plan(plan))
        line.submit(net.name, Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(net.keys["desk"]))
        position, deadline = 0, time.monotonic() + 300
        while time.monotonic() < deadline and not self.is_over.is_set():
            view = line.job(net.name, job, position, 20)
            position = max((each.position for each in view.entries), default=position)
            if view.state is JobState.RELEASED:
                for part in plan.parts:
                    for side in range(len(part.players)):
                        path = net.folder / f"{job}-{side}"
                        digest, size = line.download(
                            net.name, job, (part.node, side), path, size=len(STREAM), progress=lambda _: None
                        )
                        path.unlink()
                        assert (digest, size) == (hashlib.sha256(STREAM).hexdigest(), len(STREAM))
                return
            if view.state.is_final:
                self.errors[f"job {view.state}"] += 1
                return
        if not self.is_over.is_set():
            self.errors["job too late"] += 1


@contextmanager
def service_of(
    folder: Path, port: int, nets: Sequence[Net], key: SigningKey, database: str | None
) -> Iterator[int]:
    """A real service over all the networks; gives its process id."""
    directory = folder / "service"
    directory.mkdir(mode=0o700)
    key.save(directory / service_setup.KEY)
    service_setup.create(directory, [net.signed for net in nets])
    if database is not None:
        settings = directory / configuration.NAME
        settings.write_text(f'database = "{database}"\n')
        settings.chmod(0o600)
    log = folder / "service.log"
    started = processes.start(
        "service", ["xor.service", "--dir", str(directory), "--port", str(port)], log, {}
    )
    try:
        processes.wait_ready(started, lambda: "event=ready" in log.read_text(), 60)
        yield started.pid
    finally:
        started.stop()


def sample(pid: int) -> dict[str, float]:
    """Memory (MiB), open files and processor time (s) of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "rss_mib": rss / 1024,
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "cpu_s": (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
    }


async def machines_of(nets: Sequence[Net], port: int, is_over: threading.Event) -> Counter[str]:
    machines = [LightMachine(net, player, port) for net in nets for player in PLAYERS]
    tasks = [
        asyncio.create_task(machine.run(index / ARRIVALS_PER_S)) for index, machine in enumerate(machines)
    ]
    while not is_over.is_set():
        await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    return sum((machine.errors for machine in machines), Counter())


def load(
    machines: int, jobs: int, *, seconds: float, warm_s: float, port: int, database: str | None = None
) -> dict[str, Any]:
    """Runs the load and returns the figures; the growth of memory is that of a line through all samples."""
    key = SigningKey.generate()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xor-load-")))
        nets = []
        for index in range(machines // len(PLAYERS)):
            (folder / f"net-{index}").mkdir()
            nets.append(Net(f"net-{index}", folder / f"net-{index}", key))
        pid = stack.enter_context(service_of(folder, port, nets, key, database))
        clients = Clients(nets, port)
        errors: list[Counter[str]] = []
        crowd = threading.Thread(
            target=lambda: errors.append(asyncio.run(machines_of(nets, port, clients.is_over)))
        )
        crowd.start()
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        for index in range(jobs):
            pool.submit(clients.run, index)
        samples = _sampled(pid, seconds, warm_s, clients)
        clients.is_over.set()
        crowd.join(60)
        pool.shutdown(wait=True)
    return {
        "machines": machines,
        "jobs at once": jobs,
        "database": "PostgreSQL" if database else "SQLite",
        **_figures(samples, clients),
        "errors": dict(clients.errors + errors[0]),
    }


def _sampled(pid: int, seconds: float, warm_s: float, clients: Clients) -> list[dict[str, float]]:
    clients.is_over.wait(warm_s)
    clients.latencies.clear()
    began, samples = time.monotonic(), []
    while (passed := time.monotonic() - began) < seconds:
        samples.append({"at_s": passed, "done": len(clients.latencies), **sample(pid)})
        clients.is_over.wait(min(SAMPLE_S, seconds / 10))
        if len(samples) % 24 == 0:
            print(json.dumps(samples[-1]), flush=True)
    return samples


def _figures(samples: Sequence[dict[str, float]], clients: Clients) -> dict[str, Any]:
    first, last = samples[0], samples[-1]
    seconds = last["at_s"] - first["at_s"]
    slope, start = statistics.linear_regression(
        [each["at_s"] for each in samples], [each["rss_mib"] for each in samples]
    )
    latencies = sorted(clients.latencies)
    tenth = max(len(samples) // 10, 1)
    ends = [
        statistics.median(each["rss_mib"] for each in part) for part in (samples[:tenth], samples[-tenth:])
    ]
    return {
        "seconds": round(seconds),
        "jobs done": len(latencies),
        "jobs per second": round(len(latencies) / seconds, 2),
        "seconds of a job": {
            name: round(latencies[int(share * (len(latencies) - 1))], 3)
            for name, share in (("p50", 0.5), ("p99", 0.99))
        }
        if latencies
        else {},
        "memory, first and last tenth (MiB)": [round(each, 1) for each in ends],
        "growth of memory (line)": round(slope * seconds / start, 4),
        "growth of memory (ends)": round(ends[1] / ends[0] - 1, 4),
        "open files": [first["files"], last["files"]],
        "processor share of the service": round((last["cpu_s"] - first["cpu_s"]) / seconds, 2),
        "memory over time (s, MiB)": [
            [round(each["at_s"]), round(each["rss_mib"], 1)]
            for each in samples[:: max(len(samples) // 60, 1)]
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--warm", type=float, default=WARM_S, help="seconds before the first sample")
    parser.add_argument("--port", type=int, default=3330)
    parser.add_argument("--database", help="URL of a PostgreSQL database, in place of a file")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args()
    found = load(
        chosen.machines,
        chosen.jobs,
        seconds=60 * chosen.minutes,
        warm_s=chosen.warm,
        port=chosen.port,
        database=chosen.database,
    )
    print(json.dumps(found, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["growth of memory (line)"] < 0.05 and not found["errors"] else 1


if __name__ == "__main__":
    sys.exit(main())
