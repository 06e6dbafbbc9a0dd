"""What a machine must not forget: the events of its jobs, spent plans, spent guesses, versions seen.

One SQLite file, written with `synchronous=FULL`: what `append` has returned from survives a power cut.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xor.errors import ResourceError
from xor.machine.events import Event, Guess, decode_event, encode_event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_job ON events (job);
CREATE TABLE IF NOT EXISTS settled (job TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (plan TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS guesses (
    dataset TEXT NOT NULL, day INTEGER NOT NULL, amount INTEGER NOT NULL, plan TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS guesses_of_day ON guesses (day, dataset);
CREATE TABLE IF NOT EXISTS policies (dataset TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restored (at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS inbox (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL);
"""
SECONDS_PER_DAY = 86_400


class AlreadySpentError(Exception):
    """The plan id is in the ledger: the plan must not start again."""


def unwritable() -> ResourceError:
    return ResourceError(
        "the machine cannot write its journal",
        code="resource.journal-unwritable",
        hint="free some disk space, then start it again: it goes on where it was.",
    )


class Journal:
    """The durable memory of one machine. Used from one thread.

    Args:
        path: the database file; None keeps it in memory, for simulations.
    """

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA temp_store=MEMORY")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def append(self, job: str, event: Event) -> None:
        """Makes the event durable. Returns only then."""
        self._db.execute("INSERT INTO events (job, event) VALUES (?, ?)", (job, encode_event(event)))

    def spend(self, job: str, event: Event, guesses: Sequence[Guess], now: int) -> None:
        """Spends the plan id and the guesses and appends the event: all of it, durably, or nothing.

        Raises:
            AlreadySpentError: the plan id was spent before; nothing has changed.
        """
        with self._transaction():
            try:
                self._db.execute("INSERT INTO spent (plan) VALUES (?)", (job,))
            except sqlite3.IntegrityError:
                raise AlreadySpentError from None
            self._db.executemany(
                "INSERT INTO guesses (dataset, day, amount, plan) VALUES (?, ?, ?, ?)",
                [(each.dataset, now // SECONDS_PER_DAY, each.amount, job) for each in guesses],
            )
            self.append(job, event)

    def is_spent(self, plan: str, not_before: int) -> bool:
        """Whether the plan was started here, or may have been before this journal was put back from a copy.

        Args:
            not_before: since when the plan is valid: it cannot have been started before.
        """
        return (
            self._one("SELECT 1 FROM spent WHERE plan = ?", plan) is not None
            or self._one("SELECT 1 FROM restored WHERE at >= ?", not_before) is not None
        )

    def guesses_spent(self, now: int) -> Mapping[str, int]:
        """For each dataset the guesses spent on the UTC day of `now`, finished attempts or not."""
        rows = self._db.execute(
            "SELECT dataset, sum(amount) FROM guesses WHERE day = ? GROUP BY dataset",
            (now // SECONDS_PER_DAY,),
        )
        return {str(dataset): int(amount) for dataset, amount in rows}

    def was_restored_today(self, now: int) -> bool:
        """Whether the guesses of the UTC day of `now` may be more than this journal knows."""
        day = now // SECONDS_PER_DAY
        return self._one("SELECT 1 FROM restored WHERE at / ? = ?", SECONDS_PER_DAY, day) is not None

    def restored(self, now: int) -> None:
        """Notes that this journal is a copy put back: what was spent since it was made is not in it."""
        self._db.execute("INSERT INTO restored (at) VALUES (?)", (now,))

    def events_of(self, job: str) -> tuple[Event, ...]:
        rows = self._db.execute("SELECT event FROM events WHERE job = ? ORDER BY position", (job,))
        return tuple(decode_event(text) for (text,) in rows)

    def unsettled(self) -> tuple[str, ...]:
        """Jobs with something left to do, in the order in which they began."""
        rows = self._db.execute(
            "SELECT job FROM events WHERE job NOT IN (SELECT job FROM settled)"
            " GROUP BY job ORDER BY min(position)"
        )
        return tuple(job for (job,) in rows)

    def mark(self, job: str, is_settled: bool) -> None:
        """Notes whether a start needs to look at the job. A hint: the events decide."""
        if is_settled:
            self._db.execute("INSERT OR IGNORE INTO settled (job) VALUES (?)", (job,))
        else:
            self._db.execute("DELETE FROM settled WHERE job = ?", (job,))

    def highest_version(self, dataset: str) -> int:
        """The highest policy version ever seen for the dataset; 0 if none."""
        row = self._one("SELECT version FROM policies WHERE dataset = ?", dataset)
        return int(row[0]) if row else 0

    def saw_version(self, dataset: str, version: int) -> None:
        """Remembers a policy version; a lower one than before changes nothing."""
        self._db.execute(
            "INSERT INTO policies (dataset, version) VALUES (?, ?)"
            " ON CONFLICT (dataset) DO UPDATE SET version = max(version, excluded.version)",
            (dataset, version),
        )

    @property
    def inbox_position(self) -> int:
        """Everything up to this position of the service's log has been handled."""
        row = self._one("SELECT position FROM inbox")
        return int(row[0]) if row else 0

    @inbox_position.setter
    def inbox_position(self, position: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO inbox (one, position) VALUES (1, ?)", (position,))

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # A commit that fails may leave the transaction open: what is appended next would not be durable.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
