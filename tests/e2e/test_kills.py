"""Processes die at random moments of a job: the right result or a clean failure; the next run succeeds."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from xor import dataframe as xf
from xor import session
from xor.errors import XorError
from xor.testing.local import LocalNetwork
from xor.testing.processes import Started, children, load, wait_until
from xor.testing.programs import selected

SEED = int(os.environ.get("XOR_SEED", "20261122"))
KILLS = 10
VICTIMS = ("service", "player-0", "player-1", "worker of player-0", "worker of player-1")


def run_in_background(client: xf.Client, timeout_s: float) -> tuple[threading.Thread, dict[str, object]]:
    outcome: dict[str, object] = {}

    def run() -> None:
        try:
            outcome["rows"] = len(selected(client).run(reveal=True, timeout_s=timeout_s).reveal())
        except XorError as error:
            outcome["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def process(network: LocalNetwork, name: str) -> Started:
    return next(each for each in load(network.pids) if each.name == name)


def kill(network: LocalNetwork, victim: str) -> None:
    """Kills the victim, and starts it again if it is a process that an operator would restart."""
    if victim.startswith("worker of "):
        for worker in children(process(network, victim.removeprefix("worker of "))):
            worker.kill()
        return
    process(network, victim).kill()
    back = network.start_service() if victim == "service" else network.start_machine(victim)
    network.remember(back)


@pytest.mark.timeout(600)
def test_ten_random_kills_end_in_the_right_result_or_a_clean_failure(network):
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    with session.open_session("localhost", network.port, api_token="*", use_ssl=False):
        client = xf.Client("two-parties", "localhost", network.port, "*", False)
        began = time.monotonic()
        rows = len(selected(client).run(reveal=True).reveal())
        usual_s = time.monotonic() - began
        for number in range(KILLS):
            victim = VICTIMS[number % len(VICTIMS)]
            moment_s = chance.uniform(0, usual_s)
            thread, outcome = run_in_background(client, timeout_s=60)
            thread.join(moment_s)
            kill(network, victim)
            thread.join(90)
            assert not thread.is_alive(), f"kill {number} of {victim} after {moment_s:.2f} s: the run hangs"
            assert "error" in outcome or outcome["rows"] == rows, (
                f"{victim} after {moment_s:.2f} s: {outcome}"
            )
            print(f"{victim} killed after {moment_s:.2f} s: {outcome.get('error', 'right result')}")
            assert_runs_again(client, network, rows)
        assert_nothing_left_behind(network)


def assert_runs_again(client: xf.Client, network: LocalNetwork, rows: int) -> None:
    assert len(selected(client).run(reveal=True, timeout_s=60).reveal()) == rows
    assert {each.name for each in load(network.pids) if each.is_alive} == {"service", "player-0", "player-1"}


def assert_nothing_left_behind(network: LocalNetwork) -> None:
    """No job directory outlives its job."""
    folders = [network.machine_directory(player) / "jobs" for player in ("player-0", "player-1")]
    assert wait_until(lambda: not any(list(folder.iterdir()) for folder in folders if folder.exists()), 15)
