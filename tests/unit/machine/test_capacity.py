"""What a machine says of itself: its limits, and how its lines to others were."""

import socket
import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from xor.machine.capacity import capacity_of
from xor.machine.directory import Settings
from xor.machine.lines import KEPT, Lines, observe
from xor.model.machine import Capacity, LinkSeen
from xor.plan.oprf.exchange import BACK_ENDS
from xor.plan.relations import padded

SETTINGS = {"player": "player-0", "network": "n", "agreement": "a" * 64, "service": "http://localhost:1"}


def _settings(**changes: object) -> Settings:
    return Settings.model_validate(SETTINGS | changes)


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    found = capacity_of(_settings(memory_mib=512, disk_mib=2048, cores=3, oprf=["dh"]), tmp_path)
    assert found == Capacity(memory_bytes=2**29, disk_bytes=2**31, cores=3, oprf=("dh",))


def test_without_settings_a_job_gets_its_rounded_share_of_the_computer(tmp_path: Path) -> None:
    few, many = (capacity_of(_settings(max_jobs=jobs), tmp_path) for jobs in (1, 8))
    assert few.memory_bytes > 4 * many.memory_bytes
    assert few.oprf == BACK_ENDS
    for count in (few.memory_bytes, few.disk_bytes, many.memory_bytes):
        assert padded(count // 2**20) == count // 2**20, "what else happens here does not show"


@pytest.mark.parametrize("changes", [{"memory_mib": 0}, {"oprf": []}, {"oprf": ["ideal"]}, {"cores": 0}])
def test_settings_that_no_job_could_run_under_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _settings(**changes)


def test_a_line_is_what_the_system_counted_on_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    with ours, theirs:
        reader = threading.Thread(target=lambda: [None for _ in iter(lambda: theirs.recv(2**16), b"")])
        reader.start()
        for _ in range(200):
            ours.sendall(bytes(2**16))
        ours.shutdown(socket.SHUT_WR)
        reader.join()
        seen, twice = observe([ours]), observe([ours, ours, ours])
    assert seen is not None
    assert seen.rtt_us < 10_000
    assert seen.bytes_per_s > 10**6
    assert twice == (seen.rtt_us, 2 * seen.bytes_per_s), "data lanes add up, the control lane is none"


def test_a_socket_that_is_none_of_tcp_tells_nothing() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert observe([one]) is None


def test_the_shortest_round_trip_and_the_best_rate_of_the_last_jobs_count() -> None:
    lines = Lines(["player-0", "player-1"])
    for rtt, rate in ((900, 10), (800, 30), (1000, 20)):
        lines.note("player-1", rtt, rate)
    lines.note("stranger", 1, 1)
    assert lines.seen == (LinkSeen(peer="player-1", rtt_us=800, bytes_per_s=30),)
    for _ in range(KEPT):
        lines.note("player-1", 950, 5)
    assert lines.seen == (LinkSeen(peer="player-1", rtt_us=950, bytes_per_s=5),)
