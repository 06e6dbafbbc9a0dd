"""One real machine against a service that lies, forgets and goes away."""

import asyncio
import hashlib
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import httpx2
import pytest
from fake_service import FakeService

from conftest import wait_until
from xor.errors import UsageError
from xor.machine import setup as machine_setup
from xor.machine.directory import Directory, check_service_url
from xor.machine.judging import decide
from xor.machine.shell import Machine
from xor.plan.codec import encode_plan, plan_hash
from xor.signing import Envelope, SigningKey, decode, seal_envelope
from xor.wire.messages import Approval, Cancel, Failure, Kind, Manifest, Offer, Refusal


def give(alone, plan, position=None) -> str:
    job = plan_hash(encode_plan(plan))
    alone.fake.add(Kind.PLAN, job, alone.signed_plan(plan), position)
    return job


def run_alone(alone) -> str:
    """Runs the plan of one player to its end and returns its job."""
    job = give(alone, alone.plan_of_one())
    wait_until(lambda: alone.fake.uploads, "the upload")
    wait_until(lambda: "state=done" in alone.processes["player-1"].text, "the end")
    return job


def start_join(alone) -> str:
    """Brings a sealed join to where the machine waits for its peer."""
    job = give_join(alone)
    wait_until(lambda: alone.fake.said(Offer), "the offer")
    return job


def give_join(alone) -> str:
    job = give(alone, alone.plan())
    alone.fake.add(Kind.APPROVAL, job, alone.approval(job, "player-0"))
    return job


def workers_of(process) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process.process.pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_plan_of_one_player_is_sealed_signed_and_uploaded(alone):
    alone.start_machine("player-1")
    job = run_alone(alone)
    [(envelope, body)] = alone.fake.uploads
    manifest = alone.trust.manifest(envelope)
    assert (manifest.plan, manifest.player, manifest.bytes) == (job, "player-1", len(body))
    assert manifest.sha256 == hashlib.sha256(body).hexdigest()
    wait_until(lambda: not list((alone.machine_directory("player-1") / "jobs").iterdir()), "the clean-up")


def test_a_plan_replayed_after_a_restart_is_refused_as_spent(alone):
    alone.start_machine("player-1")
    plan = alone.plan_of_one()
    job = give(alone, plan)
    wait_until(lambda: "state=done" in alone.processes["player-1"].text, "the end")
    alone.processes["player-1"].kill()
    alone.start_machine("player-1")
    give(alone, plan, position=50)
    wait_until(lambda: alone.fake.said(Refusal), "the refusal")
    [refusal] = alone.fake.said(Refusal)
    assert (refusal.plan, refusal.code) == (job, "plan.spent")
    assert len(alone.fake.uploads) == 1


def test_a_plan_that_was_tampered_with_is_ignored(alone):
    alone.start_machine("player-1")
    plan = alone.plan_of_one()
    signed = alone.signed_plan(plan)
    other = encode_plan(alone.plan_of_one())
    forged = Envelope(signed.payload_type, other, signed.signatures)
    alone.fake.add(Kind.PLAN, plan_hash(other), forged)
    wait_until(lambda: alone.processes["player-1"].shows("ignored an entry"), "the log")
    run_alone(alone)
    assert len(alone.fake.said(Approval)) == 1


def test_an_approval_by_a_stranger_starts_nothing_and_a_true_one_does(alone):
    alone.start_machine("player-1")
    job = give(alone, alone.plan())
    alone.fake.add(Kind.APPROVAL, job, alone.approval(job, "player-0", SigningKey.generate()))
    wait_until(lambda: alone.processes["player-1"].shows("ignored an entry"), "the log")
    wait_until(lambda: alone.fake.said(Approval), "its own approval")
    polls = alone.fake.polls
    wait_until(lambda: alone.fake.polls > polls, "the next poll")
    assert "state=clearing" not in alone.processes["player-1"].text
    alone.fake.add(Kind.APPROVAL, job, alone.approval(job, "player-0"))
    wait_until(lambda: alone.fake.said(Offer), "the offer")


def test_answers_that_the_service_did_not_sign_are_not_believed(alone):
    true_key, alone.fake.key = alone.fake.key, SigningKey.generate()
    alone.start_machine("player-1")
    give(alone, alone.plan_of_one())
    wait_until(lambda: alone.processes["player-1"].shows("auth.bad-signature"), "the log")
    assert not alone.fake.posted
    alone.fake.key = true_key
    wait_until(lambda: alone.fake.uploads, "the upload")


def test_a_machine_waits_for_a_service_that_is_away(alone):
    port = alone.fake.port
    alone.fake.close()
    process = alone.start_machine("player-1", until="does not hear")
    alone.fake = FakeService(alone.service_key, "bench", port)
    wait_until(lambda: process.shows("is ready"), "the machine")
    assert process.text.count("does not hear") == 1


def test_a_kill_in_the_middle_of_a_job_kills_the_worker_and_is_reported_after_the_restart(alone):
    process = alone.start_machine("player-1")
    job = start_join(alone)
    workers = workers_of(process)
    process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers), "their end")
    assert workers
    alone.start_machine("player-1")
    wait_until(lambda: alone.fake.said(Failure), "the failure")
    [failure] = alone.fake.said(Failure)
    assert (failure.plan, failure.code) == (job, "peer.interrupted")
    assert len(alone.fake.said(Offer)) == 1


def test_a_machine_told_to_stop_says_so_and_stops_soon(alone):
    process = alone.start_machine("player-1")
    start_join(alone)
    assert process.stop() == 0
    [failure] = alone.fake.said(Failure)
    assert failure.code == "peer.interrupted"


def test_an_operator_finds_a_machines_metrics_where_its_settings_say(alone):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = alone.machine_directory("player-1") / "machine.toml"
    settings.write_text(f'{settings.read_text()}metrics = "{address}"\n')
    alone.start_machine("player-1")
    run_alone(alone)
    text = httpx2.get(f"http://{address}/metrics", trust_env=False).text
    assert 'xor_ended_jobs_total{error="",state="done"} 1.0' in text
    assert 'xor_jobs{state="running"} 0.0' in text
    assert float(re.search(r"^xor_service_heard_timestamp_seconds (\S+)$", text, re.M)[1]) > time.time() - 60


def test_a_worker_that_needs_more_memory_than_it_may_take_ends_its_job_only(alone):
    settings = alone.machine_directory("player-1") / "machine.toml"
    settings.write_text(f"{settings.read_text()}memory_mib = 260\n")
    alone.start_machine("player-1")
    source = alone.directory / "stock.csv"
    before = source.read_text()
    # Far more rows than are declared: that would show only once they are read.
    source.write_text("key,shelf\n" + "".join(f"k{number},shelf {number}\n" for number in range(12_000_000)))
    give(alone, alone.plan_of_one())
    wait_until(lambda: alone.fake.said(Failure), "the failure", 40)
    [failure] = alone.fake.said(Failure)
    assert (failure.kind, failure.code) == ("ResourceError", "resource.memory")
    assert "memory_mib" in failure.hint
    source.write_text(before)
    run_alone(alone)


def test_a_machine_told_twice_to_stop_does_not_wait_for_its_jobs(alone):
    process = alone.start_machine("player-1")
    start_join(alone)
    process.drain()
    wait_until(lambda: process.shows("event=draining jobs=1"), "draining")
    process.drain()
    assert process.process.wait(15) == 0
    assert alone.fake.said(Failure)[0].code == "peer.interrupted"


def test_a_draining_machine_ends_what_it_has_and_starts_nothing(alone):
    process = alone.start_machine("player-1")
    job = start_join(alone)
    process.drain()
    wait_until(lambda: process.shows("event=draining jobs=1"), "draining")
    late = give(alone, alone.plan())
    wait_until(lambda: process.shows(f"job={late[:12]} state=judging"), "the late plan")
    alone.fake.add(
        Kind.CANCEL, job, seal_envelope(Cancel(network="bench", plan=job, analyst="desk"), alone.analyst)
    )
    assert process.process.wait(30) == 0
    assert [each.plan for each in alone.fake.said(Approval)] == [job]
    assert not alone.fake.said(Failure)

    again = alone.start_machine("player-1")
    wait_until(lambda: late in [each.plan for each in alone.fake.said(Approval)], "the late approval")
    assert again.stop() == 0


def test_a_worker_that_dies_fails_its_job(alone):
    process = alone.start_machine("player-1")
    start_join(alone)
    for pid in workers_of(process):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: alone.fake.said(Failure), "the failure")
    assert alone.fake.said(Failure)[0].code == "internal.worker-died"


def test_a_cancelled_job_kills_its_worker(alone):
    process = alone.start_machine("player-1")
    job = start_join(alone)
    cancel = Cancel(network="bench", plan=job, analyst="desk")
    before = workers_of(process)
    alone.fake.add(Kind.CANCEL, job, seal_envelope(cancel, alone.analyst))
    wait_until(lambda: not set(before) & set(workers_of(process)), "the worker's end")
    assert "state=ended" in process.text


def test_a_table_above_its_declared_bound_fails_before_any_peer_is_met(alone):
    rows = "".join(f"k{number},A\n" for number in range(9))
    (alone.directory / "stock.csv").write_text("key,shelf\n" + rows)
    alone.start_machine("player-1")
    job = give(alone, alone.plan())
    alone.fake.add(Kind.APPROVAL, job, alone.approval(job, "player-0"))
    wait_until(lambda: alone.fake.said(Failure), "the failure")
    [failure] = alone.fake.said(Failure)
    assert failure.kind == "ResourceError"
    assert "stock" in failure.message
    assert not alone.fake.said(Offer)
    assert "k1" not in failure.message + (failure.hint or "")


def test_a_policy_is_read_again_and_never_rolled_back(alone):
    alone.start_machine("player-1")
    entry = alone.entries["stock"]
    path = machine_setup.policy_path(alone.machine_directory("player-1"), "stock")
    old = path.read_bytes()
    machine_setup.replace(path, alone.policy(entry, 2).to_bytes())
    give(alone, alone.plan_of_one())
    wait_until(lambda: alone.fake.said(Refusal), "the refusal")
    assert alone.fake.said(Refusal)[-1].code == "plan.stale-policy"
    machine_setup.replace(path, old)
    alone.processes["player-1"].stop()
    alone.start_machine("player-1")
    give(alone, alone.plan_of_one())
    wait_until(lambda: len(alone.fake.said(Refusal)) == 2, "the second refusal")
    assert alone.fake.said(Refusal)[-1].code == "policy.missing"
    assert "policy.rolled-back" in alone.processes["player-1"].text


def test_a_stream_that_was_finished_is_uploaded_with_the_same_bytes_after_a_restart(alone):
    process = alone.start_machine("player-1")
    alone.fake.is_full = True
    give(alone, alone.plan_of_one())
    wait_until(lambda: "state=uploading" in process.text, "the upload")
    process.kill()
    alone.fake.is_full = False
    alone.start_machine("player-1")
    wait_until(lambda: alone.fake.uploads, "the upload")
    wait_until(lambda: "state=done" in alone.processes["player-1"].text, "the end")
    # What the killed machine had on its way may have come through too: it is the same.
    [(payload, body)] = {(envelope.payload, body) for envelope, body in alone.fake.uploads}
    assert hashlib.sha256(body).hexdigest() == decode(Manifest, payload).sha256


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://localhost:3000", "usage.plain-http"),
        ("https://", "usage.plain-http"),
        ("http://service.example:3000", "usage.plain-http"),
        ("http://10.0.0.1:3000", "usage.plain-http"),
    ],
)
def test_a_line_that_could_be_overheard_is_refused(url, code):
    with pytest.raises(UsageError) as raised:
        check_service_url(url)
    assert raised.value.code == code


def test_two_machines_do_not_run_in_one_directory(alone):
    first = alone.start_machine("player-1")
    second = alone.start_machine("player-1", until="cannot run")
    assert second.process.wait(timeout=10) == 1
    assert "usage.directory-in-use" in second.text
    # The fixture knows one machine of a name, and by now that is the second.
    first.process.terminate()
    first.process.wait(timeout=10)


def test_a_worker_that_runs_too_long_is_killed_and_its_job_fails(alone):
    settings = alone.machine_directory("player-1") / "machine.toml"
    settings.write_text(settings.read_text() + "job_timeout_s = 1\n")
    process = alone.start_machine("player-1")
    give_join(alone)
    wait_until(lambda: alone.fake.said(Failure), "the failure")
    assert [each.code for each in alone.fake.said(Failure)] == ["resource.time"]
    wait_until(lambda: len(workers_of(process)) <= 1, "the end of the worker; a spare may be there")


def test_a_dead_spare_costs_no_job(alone):
    process = alone.start_machine("player-1")
    wait_until(lambda: workers_of(process), "the spare")
    for pid in workers_of(process):
        os.kill(pid, signal.SIGKILL)
    run_alone(alone)
    assert not alone.fake.said(Failure)


def test_a_slow_judge_stops_neither_polls_nor_the_order_of_jobs(alone, monkeypatch):
    """One machine in this process, so that its judge can be held up."""
    judged, may_go_on, stop = [], threading.Event(), asyncio.Event()

    def slow(plan, **facts):
        judged.append(plan)
        assert may_go_on.wait(60)
        return decide(plan, **facts)

    monkeypatch.setattr("xor.machine.shell.decide", slow)
    loop = asyncio.new_event_loop()
    machine = threading.Thread(
        target=loop.run_until_complete,
        args=(run_machine(alone.machine_directory("player-1"), stop),),
    )
    machine.start()
    try:
        plans = [alone.plan_of_one() for _ in range(3)]
        jobs = [give(alone, plan) for plan in plans]
        wait_until(lambda: judged, "the judge")
        polls = alone.fake.polls
        wait_until(lambda: alone.fake.polls > polls + 1, "polls meanwhile")
        assert len(judged) == 1
        may_go_on.set()
        wait_until(lambda: len(alone.fake.uploads) == 3, "the uploads")
        assert judged[:3] == plans
        assert sorted(each.plan for each in alone.fake.said(Approval)) == sorted(jobs)
    finally:
        may_go_on.set()
        loop.call_soon_threadsafe(stop.set)
        machine.join(30)
        loop.close()


async def run_machine(path: Path, stop: asyncio.Event) -> None:
    await Machine(Directory(path)).run(stop, asyncio.Event())
