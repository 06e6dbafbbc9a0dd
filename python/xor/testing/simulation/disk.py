"""A disk on which power cuts, torn writes and lack of room happen at every durable write.

A directory belongs to one life of a process. At a power cut it is copied as the disk would show it, and the
next life gets the copy: nothing that the dying code still does can reach it. SQLite really writes its files;
what is torn are the frames that a commit has added to the write-ahead log.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from xor.testing.simulation.world import LIFE, Life, PowerCut, World

Result = TypeVar("Result")
CHANGES = ("INSERT", "UPDATE", "DELETE")
SYNCHRONOUS_FULL = 2
UNKNOWN = 0.3
"""How often a write that is said to have failed has been done."""


class Disk:
    """The directories of all processes.

    Args:
        root: where they are.
        on_cut: called with a life that ends, and the directory that its successor finds.
    """

    def __init__(self, world: World, root: Path, on_cut: Callable[[Life, Path], None]) -> None:
        self._world = world
        self._root = root
        self._on_cut = on_cut
        self._homes: dict[Life, Path] = {}
        self._places = 0

    def give(self, life: Life, home: Path) -> None:
        """The directory of a life."""
        self._homes[life] = home

    def place(self) -> Path:
        """Where a new directory may be."""
        self._places += 1
        return self._root / f"{self._places}"

    def copy(self, source: Path) -> Path:
        """A copy of a directory as it is now."""
        target = self.place()
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm", "*.lock"))
        return target

    def write(self, connection: Connection | None, what: str, write: Callable[[], Result]) -> Result:
        """Does a durable write, if the power and the room last."""
        life = LIFE.get()
        if life is None or not life.is_alive or life not in self._homes:
            return write()
        if self._world.chance(self._world.faults.full):
            if is_done := self._world.random.random() < UNKNOWN:
                write()
            self._world.note(f"{life.member}: {what} fails{', but is done' if is_done else ''}")
            raise sqlite3.OperationalError("disk I/O error" if is_done else "database or disk is full")
        if not self._world.chance(self._world.faults.cut):
            return write()
        match self._world.random.choice(("before", "in", "after")):
            case "before":
                self.cut(life, f"before {what}", connection)
            case "in" if connection is not None:
                self._tear(life, connection, what, write)
            case _:
                write()
                self.cut(life, f"after {what}", connection)
        raise PowerCut

    def cut(self, life: Life, when: str, connection: Connection | None = None) -> Path:
        """Ends a life; the directory that is left."""
        self._world.note(f"{life.member}: power cut {when}")
        copy = self.copy(self._homes[life])
        if connection is not None and not connection.is_synced:
            _cut_log(
                copy / connection.path.name, self._world.random.randrange(len(_log(connection.path)) + 1)
            )
        life.is_alive = False
        self._on_cut(life, copy)
        return copy

    def _tear(self, life: Life, connection: Connection, what: str, write: Callable[[], object]) -> None:
        before = _log(connection.path)
        write()
        after = _log(connection.path)
        copy = self.cut(life, f"in {what}", connection)
        if after.startswith(before):
            kept = self._world.random.randrange(len(before), len(after) + 1)
            rest = self._world.random.randbytes(min(len(after) - kept, 5000))
            (copy / f"{connection.path.name}-wal").write_bytes(after[:kept] + rest)


class Connection(sqlite3.Connection):
    """A connection whose durable writes go through the disk. Installed for the time of a simulation."""

    disk: Disk

    def __init__(self, database: str | Path, *args: Any, **options: Any) -> None:
        super().__init__(database, *args, **options)
        self.path = Path(database)

    @property
    def is_synced(self) -> bool:
        """Whether a commit that has returned is on disk, come what may."""
        return int(super().execute("PRAGMA synchronous").fetchone()[0]) >= SYNCHRONOUS_FULL

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        # With isolation level None each statement outside of a transaction commits by itself.
        words = sql.split(None, 3)
        is_alone = self.isolation_level is None and not self.in_transaction and words[0] in CHANGES
        if is_alone or words[0] == "COMMIT":
            what = " ".join(words[:3]) if is_alone else "a commit"
            return self.disk.write(self, what, lambda: super(Connection, self).execute(sql, *args))
        return super().execute(sql, *args)

    def commit(self) -> None:
        if self.in_transaction:
            self.disk.write(self, "a commit", super().commit)


def _log(database: Path) -> bytes:
    log = database.with_name(f"{database.name}-wal")
    return log.read_bytes() if log.exists() else b""


def _cut_log(database: Path, length: int) -> None:
    log = database.with_name(f"{database.name}-wal")
    if log.exists():
        log.write_bytes(log.read_bytes()[:length])
