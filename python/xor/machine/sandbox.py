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
_CAPABILITY_VERSION = 0x20080522
_FILE_ACCESS = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""

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
hence `/proc`. Environments, memory and files of other processes stay closed: see `harden`.
"""


def harden() -> None:
    """No core dump, no debugger of the same user, no privileges: the first two would hold rows and keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)
    if sys.platform == "linux":
        _drop_capabilities()


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


def _drop_capabilities() -> None:
    """Where the process runs as root: keeps access to files, which Landlock bounds, and nothing else.

    With CAP_PERFMON, for one, it could still read the environment of any process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # Effective, permitted, inheritable: once for capabilities 0 to 31, once for the others.
    held = (ctypes.c_uint32 * 6)()
    if libc.capget(header, held) == 0:
        kept = (ctypes.c_uint32 * 6)(held[0] & _FILE_ACCESS, held[1] & _FILE_ACCESS)
        libc.capset(header, kept)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
