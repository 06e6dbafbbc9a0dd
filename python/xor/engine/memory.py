"""Memory of a process that ends with its job."""

import resource
import sys
from pathlib import Path

import pyarrow as pa

from xor._core import keep_freed_memory


def keep_freed() -> None:
    """Leaves what is freed to whatever needs it next, tables and core alike.

    Call it before anything large is read. Otherwise the system clears the same pages again and again, up to a
    fifth of the time of a join.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    keep_freed_memory()


def limit(job_bytes: int) -> None:
    """Lets this process take so much more memory than it has now, and no more; for good.

    Beyond it an allocation fails: in Python as MemoryError; in the core, which cannot go on then, by abort.
    Counted are private writable pages, whether used or not (RLIMIT_DATA): not files that are mapped.
    """
    if sys.platform == "linux":
        bound = _private_bytes() + job_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))


def _private_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return 1024 * int(line.split()[1])
    raise OSError("the kernel does not say how much memory this process has")
