"""Whole networks under one seed each: the right result or a clean failure, whatever goes wrong."""

import os
import subprocess
import sys

import pytest

from xor.machine.journal import Journal
from xor.testing.simulation import Faults, Violation, simulate

SEEDS = int(os.environ.get("XOR_SEEDS", "500"))
BLOCK = 25
NONE = ("lost", "repeated", "slow", "cut", "full", "lie", "partition", "succession", "rollback", "restored")
CALM = Faults(**dict.fromkeys(NONE, 0.0), skew_s=0)


def simulate_all(seeds: int) -> None:
    for seed in range(seeds):
        simulate(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_faults_and_lies_end_in_the_right_result_or_a_clean_failure(first):
    for seed in range(first, min(first + BLOCK, SEEDS)):
        simulate(seed)


def test_without_faults_what_is_allowed_is_released():
    outcomes = {outcome for seed in range(6) for outcome in simulate(seed, CALM).outcomes}
    assert "released" in outcomes
    assert outcomes <= {"released", "peer.cancelled", "policy.denied", "policy.missing", "plan.stale-policy"}


def test_many_runs_are_released_in_spite_of_faults():
    """A simulation that only ever fails would prove nothing."""
    outcomes = [outcome for seed in range(20) for outcome in simulate(seed).outcomes]
    assert outcomes.count("released") > len(outcomes) / 5


def test_a_seed_is_a_history_whatever_the_order_of_sets():
    traces = {_trace(seed=4, seeds=12, hash_seed=hash_seed) for hash_seed in ("1", "2")}
    assert len(traces) == 1
    assert "service 1 is up" in traces.pop()


def _trace(seed: int, seeds: int, hash_seed: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "xor.testing.simulation"]
    command += ["--seed", str(seed), "--seeds", str(seeds), "--trace"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_violation_says_how_to_see_it_again(monkeypatch):
    monkeypatch.setattr(Journal, "spend", lambda journal, job, event, *_: journal.append(job, event))
    with pytest.raises(Violation, match="has not spent") as violation:
        simulate_all(20)
    lines = str(violation.value).splitlines()
    seed = lines[0].removeprefix("seed ").split(":")[0]
    assert lines[-1] == f"again: python -m xor.testing.simulation --seed {seed} --trace"
    assert any("VIOLATION" in line for line in lines)
