"""Backup and restore of a machine: its journal, key and settings, and what owners signed; never its rows.

A copy does not know what was spent after it was made. So a restored machine runs no plan that may have
run before, counts all guesses of the day as spent, and asks for the policy versions that are in force.
"""

from collections.abc import Mapping, Set
from contextlib import closing
from pathlib import Path

from xor import backup
from xor.errors import UsageError
from xor.machine.directory import Directory
from xor.machine.journal import Journal

KIND = "machine"
STATE = "state.db"
NOT_COPIED = {"machine.lock", "jobs", STATE, f"{STATE}-wal", f"{STATE}-shm"}


def make(directory: Path, target: Path) -> None:
    """Copies a machine, running or not, into the new directory `target`; keep it as safe as the original.

    Raises:
        UsageError: there is no machine in `directory`, or `target` exists. ResourceError: the disk is full.
    """
    if not (directory / STATE).exists():
        raise UsageError(f"{directory} is no directory of a machine that ran", code="usage.no-directory")
    with backup.new_directory(target) as draft:
        backup.copy_database(directory / STATE, draft / STATE)
        backup.copy_files(directory, draft, NOT_COPIED)
        backup.mark(draft, KIND)


def restore(source: Path, directory: Path, versions: Mapping[str, int], now: int) -> None:
    """Makes the directory of a machine from a backup. The machine of which it is a copy must never run again.

    Args:
        versions: for each dataset the version of the newest policy that its owner signed, as the owner says.
        now: seconds since 1970 UTC. Plans that were valid then are not run any more.

    Raises:
        DataError: `source` is no backup. UsageError: `directory` exists, or `versions` does not name just
            the datasets of the machine.
    """
    backup.check_mark(source, KIND)
    with backup.new_directory(directory) as draft:
        backup.copy_files(source, draft, {backup.MADE})
        (draft / "jobs").mkdir(mode=0o700)
        _check_versions(Directory(draft).holdings.keys(), versions)
        with closing(Journal(draft / STATE)) as journal:
            for dataset, version in versions.items():
                journal.saw_version(dataset, version)
            journal.restored(now)


def _check_versions(datasets: Set[str], versions: Mapping[str, int]) -> None:
    if datasets != versions.keys():
        wanted = " ".join(f"--policy {name}=VERSION" for name in sorted(datasets))
        raise UsageError(
            "the newest policy version of each dataset is needed",
            code="usage.versions-needed",
            hint=f"ask the owners, then: {wanted or 'no --policy at all'}",
        )
