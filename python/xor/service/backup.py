"""Backup and restore of a service: its log, its streams, its key and its networks.

The log is copied before the streams, so that every stream that the copied log names was there. A log in
PostgreSQL is copied by that server's own means, before the rest for the same reason.
"""

from pathlib import Path

from xor import backup
from xor.errors import UsageError
from xor.service import setup
from xor.service.configuration import read_settings
from xor.service.store import Store

KIND = "service"
NOT_COPIED = {setup.LOCK, *(f"{setup.DATABASE}{each}" for each in ("", "-wal", "-shm"))}


def make(directory: Path, target: Path) -> None:
    """Copies a service, running or not, into the new directory `target`; keep it as safe as the original.

    Raises:
        UsageError: there is no service in `directory`, or `target` exists. ResourceError: the disk is full.
    """
    if not (directory / setup.KEY).exists():
        raise UsageError(f"{directory} is no directory of a service", code="usage.no-directory")
    in_file = read_settings(directory).database is None
    with backup.new_directory(target) as draft:
        if in_file:
            backup.copy_database(directory / setup.DATABASE, draft / setup.DATABASE)
        backup.copy_files(directory, draft, NOT_COPIED)
        backup.mark(draft, KIND)


def restore(source: Path, directory: Path) -> None:
    """Makes the directory of a service from a backup. A database named by URL is restored before, by itself.

    Members have seen entries that the copy lacks. What comes now gets positions above all of theirs, and
    no position means two entries. Jobs that had ended meanwhile are open again, until their time is over:
    machines do not run a plan twice.

    Raises:
        DataError: `source` is no backup. UsageError: `directory` exists.
    """
    backup.check_mark(source, KIND)
    with backup.new_directory(directory) as draft:
        backup.copy_files(source, draft, {backup.MADE})
        store = Store(read_settings(draft).database or draft / setup.DATABASE)
        try:
            store.skip_restored()
        finally:
            store.close()
