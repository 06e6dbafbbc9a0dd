"""What must have held, whatever went wrong. Each oracle knows one sentence and where to look.

The oracles verify nothing with the code under test: what a member has really signed was written down when
it signed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xor.plan.codec import PAYLOAD_TYPE as PLAN_TYPE
from xor.plan.codec import decode_plan
from xor.service.core import digest
from xor.service.shell import Service
from xor.signing import Envelope
from xor.signing.dsse import pre_authentication
from xor.testing.simulation.liar import KINDS
from xor.testing.simulation.machine import IdealWorker, SimulatedMachine
from xor.testing.simulation.members import (
    ANALYST,
    EPOCH,
    NETWORK,
    PLAYERS,
    agreement,
    entries,
    guess_limit,
    guesses,
    opened,
    plaintext,
    signed_entry,
    signed_policy,
    trust,
)
from xor.testing.simulation.service import SimulatedService
from xor.testing.three_banks import unsafe_key
from xor.wire.messages import Approval, JobState, Kind, Manifest

if TYPE_CHECKING:
    from xor.testing.simulation.run import Simulation

POLICY_OF = "accounts_c"


class Signed:
    """Everything that was ever signed, and by whose key."""

    def __init__(self) -> None:
        self._messages: set[tuple[str, bytes]] = set()
        self._approvals: set[tuple[str, str]] = set()

    def note(self, public: str, message: bytes) -> None:
        self._messages.add((public, message))
        if Approval.payload_type.encode() in message[:80]:
            body = json.loads(message[message.index(b"{") :])
            if body["network"] == NETWORK and public == unsafe_key(body["player"]).public:
                self._approvals.add((body["plan"], body["player"]))

    def is_by(self, member: str, payload_type: str, payload: str) -> bool:
        message = pre_authentication(payload_type, payload.encode())
        return (unsafe_key(member).public, message) in self._messages

    def has_approved(self, job: str, player: str) -> bool:
        return (job, player) in self._approvals


def check_believed(simulation: Simulation, who: str, believed: Iterable[tuple[str, Kind, str]]) -> None:
    """Whoever believed a document: its member had signed it, as this kind, about this job and network."""
    for job, kind, payload in believed:
        body = json.loads(payload)
        must = simulation.world.must
        must(body["network"] == NETWORK, f"{who} believes a {kind} of another network")
        if kind is Kind.PLAN:
            is_signed = simulation.signed.is_by(ANALYST, PLAN_TYPE, payload)
            must(is_signed, f"{who} believes a plan that the analyst did not sign")
            is_own = hashlib.sha256(payload.encode()).hexdigest() == job
            must(is_own, f"{who} takes a plan for another job")
            if who == "the service":
                _check_plan(simulation, payload)
            continue
        must(body["plan"] == job, f"{who} believes a {kind} that is about another job")
        member = body.get("player") or body.get("analyst") or "service"
        is_signed = simulation.signed.is_by(member, KINDS[kind].payload_type, payload)
        must(is_signed, f"{who} believes a {kind} that {member} did not sign")


def _check_plan(simulation: Simulation, payload: str) -> None:
    """A plan is made under the agreement, over datasets as their owners signed them."""
    plan, must = decode_plan(payload.encode()), simulation.world.must
    must(plan.agreement == trust().hash, "a plan under another agreement is believed")
    is_true = all(each == entries().get(each.name) for each in plan.datasets)
    must(is_true, "a plan with an entry that its owner did not sign is believed")


def check_start(simulation: Simulation, worker: IdealWorker) -> None:
    """A worker starts once for a plan at a player, on the word of all, and after what it costs is spent."""
    must, job, player = simulation.world.must, worker.order.plan_hash, worker.order.player
    must((job, player) not in simulation.started, f"{player} starts a second worker for one plan")
    simulation.started[job, player] = worker
    is_asked = simulation.signed.is_by(ANALYST, PLAN_TYPE, worker.order.plan)
    must(is_asked, f"{player} runs a plan that the analyst did not sign")
    _check_plan(simulation, worker.order.plan)
    for name in (each for each in PLAYERS if each != player):
        must(simulation.signed.has_approved(job, name), f"{player} starts without the approval of {name}")
    machine = simulation.machines[player]
    query = 'SELECT event FROM events WHERE job = ? AND event LIKE \'{"event":"judged"%\''
    judged = [
        json.loads(text)["verdict"]["verdict"] for (text,) in _rows(machine.home / "state.db", query, job)
    ]
    must("allowed" in judged, f"{player} starts what its own judge has not allowed")
    check_spent(simulation, machine, job)
    is_foreign = simulation.world.now >= worker.plan.not_after + 2 * simulation.world.faults.skew_s + 60
    must(not is_foreign, f"{player} runs a plan that is no longer valid")


def check_spent(simulation: Simulation, machine: SimulatedMachine, job: str) -> None:
    """The id of a started plan and its guesses are in the ledger of the machine, and stay there."""
    must, choice = simulation.world.must, simulation.choice_of(job)
    ledger = machine.home / "state.db"
    spent = _rows(ledger, "SELECT plan FROM spent WHERE plan = ?", job)
    query = "SELECT dataset, sum(amount) FROM guesses WHERE plan = ? GROUP BY dataset"
    charged = dict(_rows(ledger, query, job))
    must(len(spent) == 1, f"{machine.player} runs a plan whose id it has not spent")
    if choice is not None:
        must(
            charged == guesses(choice)[machine.player],
            f"{machine.player} has not charged the guesses of a job",
        )


def check_guesses(simulation: Simulation) -> None:
    """What all started jobs of a day may guess together is within the owner's limit."""
    total = 0
    for job, player in simulation.started:
        if not simulation.machines[player].was_restored:
            check_spent(simulation, simulation.machines[player], job)
        total += _guessed(simulation, job, player)
    simulation.world.must(total <= guess_limit(), "more is guessed on a day than the owner allows")


def check_results(simulation: Simulation) -> None:
    """The analyst has the plaintext join or nothing; all streams of a result are of one attempt."""
    must = simulation.world.must
    for run in simulation.runs:
        must(run.is_over, "a run never ended")
        if run.is_released and run.run is not None:
            rows = opened(run.streams)
            must(rows == plaintext(run.run.plan, simulation.content), "a released result is wrong")
            hashes = {key: hashlib.sha256(blob).hexdigest() for key, blob in run.streams.items()}
            is_vouched = hashes == {key: each.sha256 for key, each in run.run.manifests.items()}
            must(is_vouched, "a result holds other bytes than a machine has vouched for")
            must(run.run.stored == run.run.expected.keys(), "a result is released without all of its streams")


def check_catalogue(simulation: Simulation) -> None:
    """Whoever wrote a plan knew the true agreement, and entries and policies as their owners signed them."""
    must = simulation.world.must
    for run in simulation.runs:
        if run.known is None:
            continue
        must(run.known.agreement == agreement(), "the client believes in another agreement")
        for name, entry in run.known.entries.items():
            is_true = entry == entries()[name]
            must(is_true and run.known.signatures[name] == signed_entry(name).signatures[0].signature,
                 "the client believes an entry that its owner did not sign")  # fmt: skip
        must(
            run.known.policies.keys() == run.known.entries.keys(), "the client knows a dataset without policy"
        )
        for name, policy in run.known.policies.items():
            payload = signed_policy(name, policy.policy_version).payload
            must(policy == type(policy).model_validate_json(payload), "the client believes a wrong policy")


def check_journals(simulation: Simulation) -> None:
    """What machines have believed, they have in their journals; each job there has ended and was said."""
    must = simulation.world.must
    for machine in simulation.machines.values():
        rows = _rows(machine.home / "state.db", "SELECT job, event FROM events ORDER BY position")
        events = [(job, json.loads(text)) for job, text in rows]
        believed = [
            (job, Kind(event["kind"]), event["payload"])
            for job, event in events
            if event["event"] == "arrived"
        ]
        check_believed(simulation, machine.player, believed)
        must(machine.current is not None, f"{machine.player} did not come up again")
        if machine.current is not None:
            jobs = machine.current._jobs
            for job in sorted({job for job, _ in events}):
                held = jobs[job]
                must(held.plan is None or held.state.is_over, f"{machine.player} never ends {job[:6]}")
                must(not held.outbox, f"{machine.player} has not said its last word about {job[:6]}")


def check_log(simulation: Simulation) -> None:
    """The log holds all that was durable, once for each slot, and nothing unsigned; the state is its fold."""
    must, service = simulation.world.must, simulation.service
    must(service.current is not None, "the service did not come up again")
    if service.current is None:
        return
    store, jobs = service.current._store, service.current._jobs
    must(not store.unfinished(), "a job at the service never ends")
    said = _written(service)
    states = dict(_rows(service.home / "service.db", "SELECT job, state FROM jobs"))
    kinds = [(job, Kind(slot.split("/")[0]), payload) for job, slot, payload in said]
    check_believed(simulation, "the service", kinds)
    must(len({(job, slot) for job, slot, _ in said}) == len(said), "the log holds two entries in one slot")
    if not service.was_rolled_back:
        must(set(service.appended) <= set(said), "the log has lost what was durable")
        written = {(job, payload) for job, _, payload in said}
        must(set(service.acknowledged) <= written, "the service has taken what is not in its log")
        must(len(service.appended) == len(set(service.appended)), "an entry was written twice")
        _check_streams(simulation, service.current, states)
    must(set(store.jobs_of(NETWORK, ANALYST, 1000)) == set(states), "an analyst does not see its jobs")
    for job, state in states.items():
        loaded = store.load(job, service.current._trust, service.current.settings.timeouts)
        must(
            loaded is not None and loaded[0].state.value == state,
            "the table of jobs is not the fold of the log",
        )
        held = jobs._open.get(job) or jobs._ended.get(job)
        must(
            held is None or (loaded is not None and held.job == loaded[0]),
            "memory is not the fold of the log",
        )


def _check_streams(simulation: Simulation, service: Service, states: Mapping[str, str]) -> None:
    """The streams of a released job are there."""
    released = [job for job, state in states.items() if state == JobState.RELEASED.value]
    for job, slot, payload in _written(simulation.service):
        if job in released and slot.startswith(Kind.MANIFEST.value):
            envelope = Envelope(Manifest.payload_type, payload.encode(), ())
            is_there = service._blobs.path(job, digest(envelope)).exists()
            simulation.world.must(is_there, f"a stream of {job[:6]} is released, but not there")


def check_probe(simulation: Simulation) -> None:
    """What is asked when the faults are over succeeds, unless they have left something against it."""
    service, probe = simulation.service, simulation.runs[-1]
    is_damaged = service.was_rolled_back or simulation.liar.has_hidden or simulation.is_policy_changed
    is_damaged |= any(machine.was_restored for machine in simulation.machines.values())
    ledger = simulation.machines[entries()[POLICY_OF].player].home / "state.db"
    job = probe.run.job if probe.run else ""
    query = "SELECT coalesce(sum(amount), 0) FROM guesses WHERE dataset = ? AND plan != ?"
    ((spent,),) = _rows(ledger, query, POLICY_OF, job)
    needed = guesses(probe.choice)[entries()[POLICY_OF].player].get(POLICY_OF, 0)
    if not is_damaged and spent + needed <= guess_limit():
        simulation.world.must(probe.known is not None, "all is calm, but no datasets are shown")
        code = probe.error.code if probe.error else None
        simulation.world.must(probe.is_released, f"all is calm, but a run ends in {code}")


def _guessed(simulation: Simulation, job: str, player: str) -> int:
    choice = simulation.choice_of(job)
    return guesses(choice)[player].get(POLICY_OF, 0) if choice is not None else 0


def check_agreement(simulation: Simulation) -> None:
    """What client and machines have read of a job is what the service has written, if it was honest."""
    service = simulation.service
    if simulation.world.faults.lie or service.was_rolled_back:
        return
    written = {(job, payload) for job, _, payload in _written(service)}
    for run in simulation.runs:
        read = {(job, payload) for job, _, payload in run.trust.believed}
        simulation.world.must(read <= written, "the client has read what is not in the log")


def check_ended(simulation: Simulation) -> None:
    """All oracles that look at the end of a simulation."""
    check_results(simulation)
    check_catalogue(simulation)
    check_guesses(simulation)
    check_journals(simulation)
    check_log(simulation)
    check_agreement(simulation)
    check_probe(simulation)
    for run in simulation.runs:
        check_believed(simulation, "the client", run.trust.believed)
    if simulation.world.now > EPOCH + simulation.until_s:
        simulation.world.must(holds=False, claim="the simulation did not come to its end")


def _written(service: SimulatedService) -> list[tuple[str, str, str]]:
    """Job, slot and payload of all that the log holds."""
    rows = _rows(service.home / "service.db", "SELECT job, slot, envelope FROM entries ORDER BY position")
    return [(job, slot, _payload(envelope)) for job, slot, envelope in rows]


def _rows(database: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What a database says to somebody who only reads its file."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def _payload(envelope: str) -> str:
    return Envelope.from_bytes(envelope.encode()).payload.decode()
