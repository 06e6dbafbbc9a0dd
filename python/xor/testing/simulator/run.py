"""One simulation: a few plans of three banks, faults until some moment, then calm; and what must have held.

Oracles: a released result is the plaintext join; a worker starts at most once for a plan at a player, only
for plans that the analyst signed and that every player approved; every run ends; each job at the service is
the fold of its log.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from xor import owner
from xor.machine.events import Allowed, Denied
from xor.machine.journal import Journal
from xor.machine.judging import decide
from xor.model.agreement import Agreement, Analyst, Owner, Player
from xor.model.dataset import ColumnEntry, DatasetEntry
from xor.model.machine import Capacity
from xor.plan.codec import PAYLOAD_TYPE, encode_plan, plan_hash
from xor.plan.cost import stream_bytes
from xor.plan.oprf.exchange import BACK_ENDS
from xor.plan.place import place
from xor.plan.placed import Part, PlacedPlan
from xor.plan.relations import Concat, Join, JoinKind, Project, Relation, Scan
from xor.policy.parse import ParsedPolicy, in_force, with_grant
from xor.policy.permissive import permissive
from xor.signing import Envelope, SigningKey
from xor.testing.oracle import evaluate
from xor.testing.simulator.client import SimulatedRun
from xor.testing.simulator.machine import Meeting, SimulatedMachine
from xor.testing.simulator.service import SimulatedService
from xor.testing.simulator.world import EPOCH, Faults, World
from xor.wire.trust import Trust, open_agreement

NETWORK = "simulated"
PLANS = 3
UNTIL_S = 4000.0
PLENTY = Capacity(memory_bytes=2**40, disk_bytes=2**40, oprf=BACK_ENDS)
Tables = Mapping[str, list[dict[str, Any]]]


class Violation(AssertionError):
    """Something that must never happen has happened; the message ends with the history."""


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
    simulation = Simulation(seed, faults or Faults())
    simulation.run()
    simulation.check()
    outcomes = tuple(run.error.code if run.error else "released" for run in simulation.runs)
    return Report(seed, outcomes, tuple(simulation.world.history))


class Simulation:
    """The actors of one seed."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.seed = seed
        self.world = World(seed, faults)
        self.keys = {name: SigningKey(self.world.random.randbytes(32)) for name in _MEMBERS}
        self.agreement = _agreement(self.keys)
        signed = owner.sign_agreement(
            self.agreement, *(self.keys[each.name] for each in self.agreement.owners)
        )
        self.trust = Trust(open_agreement(signed))
        self.tables = _tables(self.world)
        self.entries = _entries()
        self.policies = {name: self._policy(entry) for name, entry in self.entries.items()}
        self.service = SimulatedService(self.world, self.trust, self.keys["service"])
        self.allowed: set[tuple[str, str]] = set()
        self.starts: Counter[tuple[str, str]] = Counter()
        meetings: dict[str, Meeting] = {}
        self.machines = [
            SimulatedMachine(
                world=self.world,
                player=player.name,
                key=self.keys[player.name],
                trust=self.trust,
                service=self.service,
                verdict=partial(self._decide, player.name),
                stream_of=self._stream,
                meetings=meetings,
                on_start=self._started,
            )
            for player in self.agreement.players
        ]
        self.runs = [self._submitted(number) for number in range(PLANS)]

    def run(self) -> None:
        for number, run in enumerate(self.runs):
            self.world.after(number * 7.0, run.start)
        self.world.run(UNTIL_S, lambda: all(run.is_over for run in self.runs))

    # -- what must have held ------------------------------------------------------------------------------

    def check(self) -> None:
        self._must(all(run.is_over for run in self.runs), "a run never ended")
        signed = {run.run.job: run for run in self.runs}
        for job, player in self.starts:
            self._must(job in signed, f"{player} ran a plan that the analyst never signed")
        for run in self.runs:
            if run.is_released:
                self._must(self._rows_of(run) == self._expected(run.run.plan), "a released result is wrong")
        if self.service.is_up:
            for job_id, held in self.service.jobs.items():
                self._must(self.service.fold(job_id) == held, "the service's job is not the fold of its log")

    def _must(self, holds: bool, claim: str) -> None:
        if not holds:
            raise Violation(f"seed {self.seed}: {claim}\n" + "\n".join(self.world.history))

    def _started(self, job: str, player: str) -> None:
        """A worker starts: for the first time, and after the judges of all players have said yes."""
        self.starts[job, player] += 1
        self._must(self.starts[job, player] == 1, f"{player} starts a second worker for one plan")
        players = {each.name for each in self.agreement.players}
        self._must(
            {name for at, name in self.allowed if at == job} == players,
            f"{player} starts without every approval",
        )

    # -- plans and rows -----------------------------------------------------------------------------------

    def _submitted(self, number: int) -> SimulatedRun:
        plan = place(
            _relation(self.entries, self.world.random.randrange(4)),
            network=NETWORK,
            agreement_hash=self.trust.hash,
            analyst="analyst",
            recipients=("analyst",),
            policies={name: parsed.policy.policy_version for name, parsed in self.policies.items()},
            not_before=EPOCH - 60,
            not_after=EPOCH + 2000 + number,
            nonce=self.world.random.randbytes(32).hex(),
            signatures={
                name: owner.sign_entry(entry, self.keys[entry.owner]).signatures[0].signature
                for name, entry in self.entries.items()
            },
            permits=lambda _: True,
        )
        envelope = Envelope(PAYLOAD_TYPE, encode_plan(plan), ()).signed_by(self.keys["analyst"])
        return SimulatedRun(self.world, self.service, self.trust, envelope)

    def _policy(self, entry: DatasetEntry) -> ParsedPolicy:
        until = dt.datetime.fromtimestamp(EPOCH, dt.UTC).date() + dt.timedelta(days=30)
        text = permissive(entry, self.agreement, until=until, reason="a simulation")
        if entry.name == "accounts_c":
            simulated = f"simulated clean room: {{until: {until}, reason: a simulation}}"
            protection = f"protection: {{adversary: malicious, dealer: none, {simulated}}}"
            text = with_grant(text, f"reveal to player-0: {{rows: [account]}}\n{protection}")
        envelope = owner.sign_policy(
            text,
            network=NETWORK,
            owner=entry.owner,
            dataset=entry.name,
            policy_version=1,
            key=self.keys[entry.owner],
        )
        return in_force(self.trust.policy(envelope), entry)

    def _decide(self, player: str, plan: PlacedPlan, now: int, journal: Journal) -> Allowed | Denied:
        hosted = {
            name: parsed for name, parsed in self.policies.items() if self.entries[name].player == player
        }
        verdict = decide(
            plan,
            player=player,
            agreement=self.agreement,
            policies=hosted,
            is_spent=journal.is_spent(_hash(plan), plan.not_before),
            spent=journal.guesses_spent(now),
            was_restored_today=journal.was_restored_today(now),
            now=now,
            capacity=PLENTY,
        )
        if isinstance(verdict, Allowed):
            self.allowed.add((_hash(plan), player))
        return verdict

    def _stream(self, _plan: PlacedPlan, part: Part, side: int) -> bytes:
        """The ideal join: side 0 sends its rows, side 1 nothing but a mark, both in the plan's exact size."""
        content = _as_bytes(evaluate(part.relation, self.tables)) if side == 0 else b"the other side"
        size = stream_bytes(part, side)
        if len(content) > size:
            raise AssertionError("the simulated rows do not fit; make the tables smaller")
        return content.ljust(size)

    def _rows_of(self, run: SimulatedRun) -> Counter[str]:
        return Counter(
            row for (_, side), blob in run.streams.items() if side == 0 for row in json.loads(blob)
        )

    def _expected(self, plan: PlacedPlan) -> Counter[str]:
        return Counter(
            row for part in plan.parts for row in json.loads(_as_bytes(evaluate(part.relation, self.tables)))
        )


_MEMBERS = ("bank-a", "bank-b", "bank-c", "player-0", "player-1", "analyst", "service")


def _agreement(keys: Mapping[str, SigningKey]) -> Agreement:
    return Agreement(
        network=NETWORK,
        owners=tuple(Owner(name=name, key=keys[name].public) for name in _MEMBERS[:3]),
        players=(
            Player(name="player-0", key=keys["player-0"].public, zone="clean room", is_simulated=True),
            Player(name="player-1", key=keys["player-1"].public, zone="premises", owner="bank-c"),
        ),
        analysts=(Analyst(name="analyst", key=keys["analyst"].public, seal_key="00" * 1216),),
        service_key=keys["service"].public,
        not_before=EPOCH - 3600,
        not_after=EPOCH + 86400,
    )


def _entries() -> dict[str, DatasetEntry]:
    def entry(
        name: str, owner_name: str, player: str, columns: tuple[str, ...], *, is_unique: bool
    ) -> DatasetEntry:
        return DatasetEntry(
            network=NETWORK,
            name=name,
            owner=owner_name,
            player=player,
            columns=tuple(ColumnEntry(name=column, type="int64") for column in columns),
            rows=20,
            unique=((columns[0],),) if is_unique else (),
        )

    return {
        "payments": entry("payments", "bank-a", "player-0", ("payer", "payee", "amount"), is_unique=False),
        "accounts_b": entry("accounts_b", "bank-b", "player-0", ("account", "balance"), is_unique=True),
        "accounts_c": entry("accounts_c", "bank-c", "player-1", ("account", "balance"), is_unique=True),
    }


def _tables(world: World) -> Tables:
    """Small random tables with matches, NULLs and duplicates."""

    def number(limit: int) -> int | None:
        return None if world.chance(0.1) else world.random.randrange(limit)

    def accounts() -> list[dict[str, Any]]:
        return [{"account": each, "balance": number(99)} for each in world.random.sample(range(20), 9)]

    payments = [{"payer": number(20), "payee": number(20), "amount": number(50)} for _ in range(15)]
    return {"payments": payments, "accounts_b": accounts(), "accounts_c": accounts()}


def _relation(entries: Mapping[str, DatasetEntry], choice: int) -> Relation:
    """The union of both directions, one direction, what both account tables hold, or what one alone does."""

    def renamed(name: str, suffix: str) -> Relation:
        scan = Scan(entries[name])
        return Project(scan, tuple((f"{column}{suffix}", column) for column in scan.schema.names))

    def direction(known_at_b: str, known_at_c: str) -> Relation:
        left = Join(renamed("payments", ""), renamed("accounts_b", "_b"), ((known_at_b, "account_b"),))
        both = Join(left, renamed("accounts_c", "_c"), ((known_at_c, "account_c"),))
        return Project(both, (("payer", "payer"), ("payee", "payee"), ("amount", "amount")))

    def accounts(kind: JoinKind) -> Relation:
        keys = (("account_b", "account_c"),)
        return Join(renamed("accounts_b", "_b"), renamed("accounts_c", "_c"), keys, kind)

    match choice:
        case 0:
            return Concat((direction("payee", "payer"), direction("payer", "payee")))
        case 1:
            return direction("payee", "payer")
        case 2:
            return accounts(JoinKind.INNER)
        case _:
            return accounts(JoinKind.ANTI)


def _hash(plan: PlacedPlan) -> str:
    return plan_hash(encode_plan(plan))


def _as_bytes(rows: list[tuple[Any, ...]]) -> bytes:
    return json.dumps(sorted(repr(row) for row in rows)).encode()
