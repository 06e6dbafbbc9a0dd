"""What one job may take at this machine: as its operator set it, else its share of the computer."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from xor.machine.directory import Settings
from xor.model.machine import Capacity
from xor.plan.relations import padded

MIB = 2**20
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def capacity_of(settings: Settings, directory: Path) -> Capacity:
    """The public limits of a machine.

    Defaults are shares of the whole computer and of its whole disk, rounded: what is free just now would tell
    what else happens there.

    Units: bytes.
    """
    memory = settings.memory_mib or _share(_memory_bytes(), settings.max_jobs)
    disk = settings.disk_mib or _share(shutil.disk_usage(directory).total // 2, settings.max_jobs)
    return Capacity(
        memory_bytes=memory * MIB,
        disk_bytes=disk * MIB,
        cores=settings.cores or os.cpu_count() or 1,
        oprf=settings.oprf,
    )


def _share(count: int, jobs: int) -> int:
    """MiB for each of so many jobs, to three significant bits, rounded down."""
    share = max(count // jobs // MIB, 1)
    rounded = padded(share)
    return share if rounded == share else max(1, rounded - (1 << (share.bit_length() - 3)))


def _memory_bytes() -> int:
    """Of this computer, or of the container that we run in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        total = min(total, int(_CGROUP.read_text()))
    return total
