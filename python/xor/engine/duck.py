"""DuckDB without a way out: no file, no network, no extension, nothing on disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset  # noqa: F401  loaded with the first table otherwise, when the worker is confined

from xor.errors import InternalError, ResourceError


def _half_of_memory() -> int:
    """Half of what this computer, or the container we run in, has; in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total // 2


@dataclass(frozen=True, slots=True)
class Limits:
    """What the local engine may take. Datasets that were read count extra.

    Args:
        memory_bytes: for DuckDB while it works, and again for its result; bytes.
        threads: None takes all cores.
    """

    memory_bytes: int = field(default_factory=_half_of_memory)
    threads: int | None = None


DEFAULT_LIMITS = Limits()


@contextmanager
def locked(limits: Limits) -> Iterator[Any]:
    """A DuckDB connection in memory that nothing can be read from or written to but registered tables.

    Plaintext never spills to disk: a query that needs more memory fails.

    Raises:
        ResourceError: the query needs more memory than `limits` allow.
        InternalError: DuckDB refuses what we compiled.
    """
    connection = duckdb.connect(":memory:", config=_settings(limits))
    try:
        # Locked by statements: these two can only be given once everything else is set.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    except duckdb.OutOfMemoryException:
        raise out_of_memory() from None
    except duckdb.Error as error:
        # DuckDB's messages may quote values.
        raise InternalError(
            f"the local engine failed ({type(error).__name__})", code="internal.local-engine"
        ) from None
    finally:
        connection.close()


def out_of_memory() -> ResourceError:
    return ResourceError(
        "a local stage needs more memory than it may take",
        code="resource.memory",
        hint="filter before joining, declare unique keys, or give the machine more memory.",
    )


def _settings(limits: Limits) -> dict[str, str | bool | int | float | list[str]]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        # Filters that DuckDB hands down to Arrow's scan treat NaN as Arrow does, which is not SQL's order.
        "disabled_optimizers": "filter_pushdown,join_filter_pushdown",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_file_cache": False,
        "max_temp_directory_size": "0KB",
        "memory_limit": f"{max(limits.memory_bytes // 1000, 1)}KB",
        "preserve_insertion_order": False,
        "python_enable_replacements": False,
        "python_scan_all_frames": False,
        "temp_directory": "",
    }
    if limits.threads is not None:
        settings["threads"] = limits.threads
    return settings
