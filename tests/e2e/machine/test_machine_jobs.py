"""Two real machines: a job from plan to streams, with strangers at the door."""

import secrets
import socket
import threading

from conftest import wait_until

from xor.machine.routing import Call, Route
from xor.plan.codec import encode_plan, plan_hash
from xor.wire.messages import JobState

ROWS = [
    ("k1", "apple", "k1", "A"),
    ("k2", "pear", "k2", "B"),
    ("k2", "plum", "k2", "B"),
]


def address_of(process) -> tuple[str, int]:
    host, port = process.text.split("listens=")[1].split()[0].split(":")
    return host, int(port)


def test_a_sealed_join_runs_between_two_confined_machines_and_opens_to_the_analyst(bench):
    plan = bench.plan()
    view = bench.finished(bench.submit(plan))
    log = bench.processes["player-0"].text
    assert view.state is JobState.RELEASED, log
    assert bench.opened(plan, view) == ROWS
    assert "confined" in log.lower()
    assert not any(row[1] in log for row in ROWS)


def test_strangers_at_the_data_port_do_not_stop_a_job(bench):
    """One sends garbage, one knows all about the job but the caller's key; both stay on the line."""
    address = address_of(bench.processes["player-0"])
    plan = bench.plan()
    [part] = plan.parts
    route = Route(plan_hash(encode_plan(plan)), part.node, "player-1")
    call = Call.signed(route, secrets.token_bytes(32))
    knocks = []
    is_over = threading.Event()

    def knock() -> None:
        while not is_over.is_set():
            with socket.create_connection(address, timeout=10) as stranger:
                stranger.sendall(call.to_bytes())
                knocks.append(stranger.recv(1))

    with socket.create_connection(address) as garbage:
        garbage.sendall(b"GET / HTTP/1.1\r\n" * 100)
    knocking = threading.Thread(target=knock)
    knocking.start()
    try:
        view = bench.finished(bench.submit(plan))
    finally:
        is_over.set()
        knocking.join()
    assert set(knocks) == {b""}
    assert view.state is JobState.RELEASED, bench.processes["player-0"].text
    assert bench.opened(plan, view) == ROWS


def test_a_job_waits_for_a_machine_that_is_away(bench):
    bench.processes["player-1"].kill()
    job = bench.submit(bench.plan())
    wait_until(lambda: bench.view(job).waiting_for == ("player-1",), "the first approval")
    bench.start_machine("player-1")
    assert bench.finished(job).state is JobState.RELEASED
