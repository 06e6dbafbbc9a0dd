"""Two real machines: a job from plan to streams, with strangers at the door."""

import secrets
import socket
import threading

import pytest

from conftest import wait_until
from xor.machine.routing import CONTROL_LANE, Call, Route
from xor.plan.codec import encode_plan, plan_hash
from xor.plan.cost import lanes
from xor.plan.estimate import is_streamed
from xor.wire.messages import JobState, Kind

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


@pytest.mark.parametrize("bench", [2_500_000], indirect=True)
def test_a_table_that_may_be_larger_than_memory_lies_on_disk_in_a_confined_worker(bench):
    plan = bench.plan()
    assert [is_streamed(part, side) for part in plan.parts for side in (0, 1)] == [True, False]
    assert [lanes(each) for each in plan.exchanges] == [3]
    view = bench.finished(bench.submit(plan))
    assert view.state is JobState.RELEASED, bench.processes["player-0"].text
    assert bench.opened(plan, view) == ROWS
    assert not list(bench.machine_directory("player-0").rglob("spill-*"))


@pytest.mark.parametrize("bench", [10_000_000], indirect=True)
def test_a_large_release_flows_from_its_file(bench):
    plan = bench.plan_of_one("orders")
    assert [is_streamed(part, 0) for part in plan.parts] == [True]
    view = bench.finished(bench.submit(plan))
    assert view.state is JobState.RELEASED, bench.processes["player-0"].text
    [manifest] = bench.said(view, Kind.MANIFEST)
    assert manifest.bytes > 36 * 10_000_000
    assert not list(bench.machine_directory("player-0").rglob("spill-*"))


@pytest.mark.parametrize("bench", [2_500_000], indirect=True)
def test_what_is_wrong_with_a_streamed_table_shows_before_a_peer_is_met(bench):
    path = bench.directory / "orders.csv"
    path.write_text(path.read_text() + "k3," + 17 * "x" + "\n")
    view = bench.finished(bench.submit(bench.plan()))
    assert view.state is JobState.FAILED
    log = bench.processes["player-0"].text
    assert "max_bytes" in log
    assert "x" * 17 not in log


def test_strangers_at_the_data_port_do_not_stop_a_job(bench):
    """One sends garbage, one knows all about the job but the caller's key; both stay on the line."""
    address = address_of(bench.processes["player-0"])
    plan = bench.plan()
    [part] = plan.parts
    route = Route(plan_hash(encode_plan(plan)), part.node, CONTROL_LANE, "player-1")
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
