"""Copies of the directories of service and machine, made while these run: whole, or not there."""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from xor.errors import DataError, ResourceError, UsageError

MADE = "backup.json"


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """A draft of the directory `target`, which is there at the end with all that was put into the draft.

    Raises:
        UsageError: `target` exists. ResourceError: the disk is full, or it cannot be written.
    """
    if target.exists():
        raise UsageError(
            f"{target} exists", code="usage.already-there", hint="name a directory that does not exist yet."
        )
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.mkdir(mode=0o700, parents=True)
        yield draft
        _make_durable(draft)
        draft.rename(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ResourceError(
            f"{target} cannot be written: {why}",
            code="resource.disk-unwritable",
            hint="nothing was changed; make room, or choose another place.",
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def mark(directory: Path, kind: str) -> None:
    """Says in a copy what it is a copy of, and when it was made."""
    made = {"kind": kind, "made_at": int(time.time()), "version": version("xor-platform")}
    (directory / MADE).write_text(json.dumps(made) + "\n", encoding="utf-8")


def check_mark(directory: Path, kind: str) -> None:
    """Refuses what is not a copy of that kind.

    Raises:
        DataError: it is none.
    """
    found: object = None
    with suppress(OSError, ValueError):
        found = json.loads((directory / MADE).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.get("kind") != kind:
        raise DataError(
            f"{directory} is no backup of a {kind}",
            code="data.no-backup",
            hint=f"`xor {kind} backup` makes one.",
        )


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite database that others may be writing."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        if new.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
            raise DataError(f"{source} is damaged", code="data.damaged", hint="restore an earlier backup.")


def copy_files(source: Path, target: Path, leave_out: Collection[str]) -> None:
    """Copies a directory's files with their modes; those that vanish meanwhile were not needed.

    Args:
        leave_out: names at its top.
    """
    for folder, folders, files in os.walk(source):
        inside = Path(folder).relative_to(source)
        if not inside.parts:
            folders[:] = [each for each in folders if each not in leave_out]
            files = [each for each in files if each not in leave_out]
        for name in folders:
            (target / inside / name).mkdir(mode=0o700)
        for name in files:
            with suppress(FileNotFoundError):
                shutil.copy2(Path(folder, name), target / inside / name)


def _make_durable(directory: Path) -> None:
    for folder, _, files in os.walk(directory):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
