"""What the processes of a machine may touch: Landlock, no core dumps, no life after the parent's."""

import ctypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import xor
from xor.engine.private import restrict_filesystem

ENFORCED = "enforced"
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4

_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/dev/urandom",
    "/dev/zero",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
)
"""Libraries, names of hosts, time zones and the size of this computer: nothing that belongs to anybody.

DuckDB ends the process if it cannot read its own `/proc/self/cgroup`, whose inode no rule can hold on to,
hence `/proc`. Environments, memory and files of other processes stay closed: Landlock lets nobody trace out.
"""


def harden() -> None:
    """No core dump and no debugger of the same user: both would hold rows and keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent dies. The parent may be dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def confine(read: Iterable[Path], write: Iterable[Path]) -> str:
    """Confines this process, for good, to the interpreter and these paths.

    Call it before threads are started: those that run already would stay free.

    Returns:
        `enforced`, `partial` or `unsupported`, as the kernel has it.
    """
    readable = [str(each) for each in (*_interpreter(), *map(Path, _SYSTEM), *read) if each.exists()]
    return restrict_filesystem(readable, [*map(str, write), "/dev/null"])


def _interpreter() -> set[Path]:
    """Where Python, its packages and this package lie. Never the working directory: data may lie there."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    executables = {Path(sys.executable).parent, Path(sys.executable).resolve().parent}
    libraries = {Path(sysconfig.get_path(name)) for name in names}
    # The import system lists the folder in which it finds a package, hence the parent of this one.
    package = Path(xor.__file__).parents[1]
    return (
        executables
        | libraries
        | {package, Path(sys.base_exec_prefix) / "lib", Path(sys.prefix) / "pyvenv.cfg"}
    )


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
