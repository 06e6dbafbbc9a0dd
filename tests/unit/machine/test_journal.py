"""What the journal and the jobs on it do when the disk fails in the middle."""

import sqlite3

import pytest

from xor.machine.core import State
from xor.machine.events import Cleared, Judged
from xor.machine.jobs import Jobs
from xor.machine.journal import Journal
from xor.testing import three_banks as banks


class Failing(sqlite3.Connection):
    """Fails at the statement that begins with `failing`, before it is done or after."""

    failing = ""
    is_done = False

    def execute(self, sql, *args):
        if self.failing and sql.startswith(self.failing):
            if self.is_done:
                super().execute(sql, *args)
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *args)


@pytest.fixture
def journal(monkeypatch, tmp_path):
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **options: connect(*args, factory=Failing, **options)
    )
    return Journal(tmp_path / "state.db")


def test_after_a_commit_that_failed_nothing_is_spent_and_writing_goes_on(journal, script):
    journal._db.failing = "COMMIT"
    with pytest.raises(sqlite3.OperationalError):
        journal.spend(script.id, Cleared(verdict=script.allowed()), script.allowed().guesses, banks.NOW)
    journal._db.failing = ""
    assert not journal.is_spent(script.id, not_before=banks.NOW)
    assert journal.guesses_spent(banks.NOW) == {}
    journal.append(script.id, script.plan_arrives())
    assert not journal._db.in_transaction
    assert len(journal.events_of(script.id)) == 1


def test_a_job_is_what_its_journal_says_after_a_write_of_unknown_outcome(journal, script):
    jobs = Jobs(banks.NETWORK, script.me, journal, lambda _job, _effect: None)
    jobs.handle(script.id, script.plan_arrives())
    journal._db.failing, journal._db.is_done = "INSERT INTO events", True
    with pytest.raises(sqlite3.OperationalError):
        jobs.handle(script.id, Judged(verdict=script.allowed()))
    assert jobs[script.id].state is State.APPROVED
