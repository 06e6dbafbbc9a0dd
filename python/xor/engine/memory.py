"""Memory of a process that ends with its job."""

import pyarrow as pa

from xor._core import keep_freed_memory


def keep_freed() -> None:
    """Leaves what is freed to whatever needs it next, tables and core alike.

    Call it before anything large is read. Otherwise the system clears the same pages again and again, up to a
    fifth of the time of a join.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    keep_freed_memory()
