"""One simulation: a few plans of three banks under faults until some moment, then calm; then the oracles.

What is driven is production code: the service (`shell.Service` with jobs, core, store on SQLite, blobs,
catalogue and freshness), the machines (`shell.Machine` with jobs, core, journal, judge, holdings, directory,
outbox, and link up to the socket), the client's state machine and its checks of a network, and signatures.
Stand-ins are sockets and HTTP routes, the worker process with its private join (`IdealWorkers`), wall clocks,
threads, and the failures of disks.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from xor import log
from xor.machine import events as machine_events
from xor.machine import link as machine_link
from xor.machine import setup as machine_setup
from xor.machine import shell as machine_shell
from xor.machine.core import Job as MachineJob
from xor.machine.holdings import Holdings
from xor.plan import codec
from xor.policy.parse import ParsedPolicy
from xor.service import setup as service_setup
from xor.service.core import Append, Job
from xor.service.store import Store
from xor.signing import Envelope, SigningKey, dsse, keys
from xor.testing.simulation import oracles
from xor.testing.simulation.client import SimulatedRun
from xor.testing.simulation.disk import Connection, Disk
from xor.testing.simulation.liar import Liar
from xor.testing.simulation.machine import (
    IdealWorker,
    IdealWorkers,
    Meetings,
    SimulatedLink,
    SimulatedMachine,
)
from xor.testing.simulation.members import (
    ASKED,
    NETWORK,
    PLAYERS,
    entries,
    signed_agreement,
    signed_entry,
    signed_policy,
    tables,
)
from xor.testing.simulation.service import SimulatedService
from xor.testing.simulation.stranger import Stranger
from xor.testing.simulation.world import LIFE, Faults, Life, Violation, World
from xor.testing.three_banks import unsafe_key
from xor.wire import trust
from xor.wire.messages import Inbox

PLANS = 2
UNTIL_S = 2500.0
LOOK_S, HEARTBEAT_S = 10.0, 40.0
"""How often a simulated machine looks at its policies and announces them: seldom, or it does little else."""
PROBE_S = 25.0
"""How long after the last fault a last plan is asked for: time for all to come up again."""
CHANGED_POLICY = 0.2
BUGS = ("a task failed", "the judge failed", "an entry could not be read")
"""What machines log when their own code breaks; for a full disk it may."""


@dataclass(frozen=True)
class Report:
    """How the runs of a simulation ended: error codes, or `released`."""

    seed: int
    outcomes: tuple[str, ...]
    history: tuple[str, ...]


def simulate(seed: int, faults: Faults | None = None) -> Report:
    """Runs one simulation to its end.

    Raises:
        Violation: an oracle is broken; `simulate(seed)` shows it again.
    """
    with _uncollected(), tempfile.TemporaryDirectory(dir=_memory(), prefix="xor-simulation-") as folder:
        simulation = Simulation(seed, faults or Faults.drawn(random.Random(-seed - 1)), Path(folder))
        simulation.run()
    world = simulation.world
    if world.violations:
        lines = [f"seed {seed}: {world.violations[0]}", *world.history]
        lines.append(f"again: python -m xor.testing.simulation --seed {seed} --trace")
        raise Violation("\n".join(lines))
    outcomes = tuple(run.error.code if run.error else "released" for run in simulation.runs)
    return Report(seed, outcomes, tuple(world.history))


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage in between: it takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Simulation:
    """The actors of one seed."""

    until_s = UNTIL_S

    def __init__(self, seed: int, faults: Faults, folder: Path) -> None:
        self.world = World(seed, faults)
        self.signed = oracles.Signed()
        self.started: dict[tuple[str, str], IdealWorker] = {}
        self.content = tables(self.world.random)
        self.disk = Disk(self.world, folder, self._on_cut)
        homes = {name: self.disk.copy(_template() / name) for name in ("service", *PLAYERS)}
        self.liar = Liar(self.world)
        self.service = SimulatedService(self.world, self.disk, homes["service"], self.liar)
        self.machines = {
            player: SimulatedMachine(self.world, self.disk, player, homes[player]) for player in PLAYERS
        }
        self.stranger = Stranger(self.world, self.service, self.liar)
        choices = [self.world.random.randrange(ASKED) for _ in range(PLANS)]
        self.runs = [
            SimulatedRun(self.world, self.service, choice, number * self.world.random.uniform(0, 40))
            for number, choice in enumerate(choices)
        ]
        probe = self.world.random.randrange(ASKED)
        self.runs.append(SimulatedRun(self.world, self.service, probe, faults.calm_s + PROBE_S))
        self.meetings = Meetings(self.world, self.content, partial(oracles.check_start, self))
        self.changes: Counter[tuple[str, str]] = Counter()
        self.is_policy_changed = False
        self.is_policy_superseded = False

    def choice_of(self, job: str) -> int | None:
        """Which of the plans a job is; None for one that nobody asked for."""
        return next((each.choice for each in self.runs if each.run is not None and each.run.job == job), None)

    def run(self) -> None:
        loop = self.world.loop
        loop.set_exception_handler(lambda _loop, _context: None)
        with self._installed():
            try:
                loop.run_until_complete(self._live())
                if not self.world.violations:
                    oracles.check_ended(self)
            except Violation as violation:
                self.world.must(holds=False, claim=str(violation))
            finally:
                self.world.nobody.run(self._close)

    async def _live(self) -> None:
        self.service.start()
        for machine in self.machines.values():
            machine.start()
        for story in (*(run.live() for run in self.runs), self.stranger.live()):
            self.world.loop.create_task(story, context=self.world.nobody)
        if self.world.chance(CHANGED_POLICY):
            self.world.loop.create_task(self._change_policy(), context=self.world.nobody)
        while self.world.loop.time() < UNTIL_S and not self.world.violations and not self._is_settled():
            await asyncio.sleep(2.0)

    def _is_settled(self) -> bool:
        """Nothing is left to do for anybody."""
        service = self.service.current
        if not all(run.is_over for run in self.runs) or service is None or service._store.unfinished():
            return False
        jobs = [each.current._jobs if each.current else None for each in self.machines.values()]
        return all(
            each is not None
            and all(each[job].is_settled or each[job].plan is None for job in each.in_memory())
            for each in jobs
        )

    async def _change_policy(self) -> None:
        """Bank C signs a new policy; later somebody puts the old one back."""
        for version in (2, 1):
            await asyncio.sleep(self.world.random.uniform(5.0, 60.0))
            self.is_policy_changed = True
            self.world.note(f"the file of {oracles.POLICY_OF}'s policy is now version {version}")
            path = machine_setup.policy_path(self.machines["player-1"].home, oracles.POLICY_OF)
            machine_setup.replace(path, signed_policy(oracles.POLICY_OF, version).to_bytes())

    def _on_cut(self, life: Life, copy: Path) -> None:
        (self.service if life.member == "service" else self.machines[life.member]).on_cut(life, copy)

    # -- the world around the code ------------------------------------------------------------------------

    @contextmanager
    def _installed(self) -> Iterator[None]:
        """Puts this simulation's time, chance, disk and network in the place of the real ones."""
        times = SimpleNamespace(time=self._time, monotonic=self.world.loop.time)
        attributes: list[tuple[Any, str, Any]] = [
            (SimulatedLink, "service", self.service),
            (SimulatedLink, "before", staticmethod(self._sending)),
            (IdealWorkers, "meetings", self.meetings),
            (Connection, "disk", self.disk),
            (sqlite3, "connect", Connection),
            (sqlite3.dbapi2, "connect", Connection),
            (machine_shell, "Link", SimulatedLink),
            (machine_shell, "Workers", IdealWorkers),
            (machine_shell, "time", times),
            (machine_shell, "LOOK_S", LOOK_S),
            (machine_shell, "HEARTBEAT_S", HEARTBEAT_S),
            (machine_link, "random", self.world.random),
            (SigningKey, "sign", self._signing(SigningKey.sign)),
            (Store, "append", self._appending(Store.append)),
            (dsse, "verify", _verify),
            (trust, "decode_plan", _decode_plan),
            (machine_events, "decode_plan", _decode_plan),
            (trust.Trust, "inbox", self._opening(trust.Trust.inbox)),
            (Holdings, "policies", self._holding(Holdings.policies)),
            (machine_shell, "_log_change", self._changed),
            *((log, level, self._log) for level in ("info", "warning", "error")),
        ]
        with ExitStack() as stack:
            for target, name, value in attributes:
                stack.enter_context(mock.patch.object(target, name, value, create=True))
            yield

    def _sending(self, player: str) -> None:
        machine = self.machines[player].current
        is_open = machine is not None and machine._journal._db.in_transaction
        self.world.must(not is_open, f"{player} speaks before what it has done is durable")

    def _time(self) -> float:
        life = LIFE.get()
        return self.world.clock(life.member if life else "client")

    def _log(self, event: str, **fields: object) -> None:
        life = LIFE.get()
        details = " ".join(f"{name}={str(value)[:40]}" for name, value in fields.items() if value is not None)
        self.world.note(f"{life.member if life else 'somebody'}: {event} {details}")
        is_bug = event in BUGS and fields.get("error") != sqlite3.OperationalError.__name__
        self.world.must(not is_bug, f"{event}: {details}")

    def _signing(self, sign: Any) -> Any:
        def noted(key: SigningKey, message: bytes) -> bytes:
            self.signed.note(key.public, message)
            return bytes(sign(key, message))

        return noted

    def _opening(self, inbox: Any) -> Any:
        def checked(by: trust.Trust, envelope: Envelope, nonce: str) -> Inbox:
            opened: Inbox = inbox(by, envelope, nonce)
            payload = envelope.payload.decode()
            is_signed = self.signed.is_by("service", Inbox.payload_type, payload)
            self.world.must(is_signed, "a machine believes an inbox that the service did not sign")
            self.world.must(opened.nonce == nonce, "a machine believes the answer to another poll")
            self.world.must(opened.network == NETWORK, "a machine believes an inbox of another network")
            return opened

        return checked

    def _holding(self, policies: Any) -> Any:
        def checked(holdings: Holdings) -> Mapping[str, ParsedPolicy]:
            found: Mapping[str, ParsedPolicy] = policies(holdings)
            parsed = found.get(oracles.POLICY_OF)
            is_old = self.is_policy_superseded and parsed is not None and parsed.policy.policy_version == 1
            self.world.must(not is_old, "player-1 judges by a policy that has been replaced")
            self.is_policy_superseded |= parsed is not None and parsed.policy.policy_version > 1
            return found

        return checked

    def _appending(self, append: Any) -> Any:
        def noted(store: Store, job: Job, entry: Append) -> int:
            position = append(store, job, entry)
            self.service.appending(store, job, entry)
            return int(position)

        return noted

    def _changed(self, before: MachineJob, after: MachineJob) -> None:
        """A machine's job has changed: that must be in its journal, for good."""
        machine = self.machines[after.player]
        self.changes[after.player, after.id] += 1
        if machine.current is not None:
            events = machine.current._journal.events_of(after.id)
            is_written = len(events) >= self.changes[after.player, after.id]
            self.world.must(is_written, f"{after.player} changes a job without a word in its journal")
        if after.state is not before.state:
            self.world.note(f"{after.player}: {after.id[:6]} is {after.state}")

    def _close(self) -> None:
        """Lets go of everything; nothing of it runs any more."""
        for task in asyncio.all_tasks(self.world.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException):
                task.get_coro().close()
        self.world.loop.close()


_verify = lru_cache(4096)(keys.verify)
_decode_plan = lru_cache(256)(codec.decode_plan)
"""Pure and slow, and asked the same thing by three members in all of their lives."""


@cache
def _template() -> Path:
    """Directories of service and machines as they are before anything has happened; made once."""
    folder = Path(tempfile.mkdtemp(dir=_memory(), prefix="xor-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "service").mkdir(mode=0o700)
    unsafe_key("service").save(folder / "service" / service_setup.KEY)
    service_setup.create(folder / "service", [signed_agreement()])
    Store(folder / "service" / service_setup.DATABASE).close()
    for player in PLAYERS:
        machine_setup.create(
            folder / player,
            player=player,
            key=unsafe_key(player),
            agreement=signed_agreement(),
            service_url="http://127.0.0.1:1",
            memory_mib=2**20,
            disk_mib=2**20,
            cores=4,
        )
        settings = folder / player / "machine.toml"
        settings.write_text(settings.read_text() + f'advertise = "127.0.0.1:{1 + PLAYERS.index(player)}"\n')
        for name, entry in entries().items():
            if entry.player == player:
                machine_setup.add_dataset(
                    folder / player,
                    entry=signed_entry(name),
                    policy=signed_policy(name),
                    source=Path("none.csv"),
                )
    return folder


def _memory() -> Path | None:
    """Where files cost least; syncing is simulated."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None
