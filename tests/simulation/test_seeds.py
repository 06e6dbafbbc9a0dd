"""Seeded whole-network runs of the production state machines: the right result or a clean failure."""

import os

import pytest

from xor.machine import journal as machine_journal
from xor.machine.journal import Journal
from xor.signing import dsse
from xor.testing.simulator import Faults, Violation, simulate

SEEDS = int(os.environ.get("XOR_SEEDS", "20"))
CALM = Faults(lost=0, repeated=0, delay_s=0.1, crash=0, lie=0)


def simulate_all(seeds: int) -> None:
    for seed in range(seeds):
        simulate(seed)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_loss_repeats_crashes_and_lies_end_in_the_right_result_or_a_clean_failure(seed):
    simulate(seed)


def test_without_faults_every_run_is_released():
    for seed in range(5):
        assert set(simulate(seed, CALM).outcomes) == {"released"}


def test_a_seed_is_a_history():
    assert simulate(3).history == simulate(3).history


def test_most_runs_are_released_in_spite_of_faults():
    """A simulation that only ever fails would prove nothing."""
    outcomes = [outcome for seed in range(SEEDS) for outcome in simulate(seed).outcomes]
    assert outcomes.count("released") > len(outcomes) / 5


def test_without_signature_checks_a_lying_service_gets_through(monkeypatch):
    monkeypatch.setattr(dsse, "verify", lambda *_: True)
    with pytest.raises(Violation):
        simulate_all(60)


def test_without_the_journal_a_crash_runs_a_plan_twice(monkeypatch):
    monkeypatch.setattr(Journal, "append", lambda *_: None)
    monkeypatch.setattr(Journal, "spend", lambda *_: None)
    with pytest.raises(Violation):
        simulate_all(60)


def test_without_the_check_of_spent_ids_a_forgotten_job_runs_twice(monkeypatch):
    """The events of a job are lost, the ledger of spent ids is not: it alone stops the second run."""

    def spend_twice(self, job, event, _guesses, _now):
        self._db.execute("INSERT OR IGNORE INTO spent (plan) VALUES (?)", (job,))

    monkeypatch.setattr(Journal, "append", lambda *_: None)
    simulate_all(10)
    monkeypatch.setattr(machine_journal.Journal, "spend", spend_twice)
    monkeypatch.setattr(Journal, "is_spent", lambda *_: False)
    with pytest.raises(Violation):
        simulate_all(60)
