"""DuckDB without a way out: no file, no network, no extension, nothing on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from xor.errors import InternalError, ResourceError


@dataclass(frozen=True, slots=True)
class Limits:
    """What the local engine may take; None leaves DuckDB's own default (80 % of the memory, all cores).

    Units: `memory_bytes` bytes.
    """

    memory_bytes: int | None = None
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
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_file_cache": False,
        "max_temp_directory_size": "0KB",
        "preserve_insertion_order": False,
        "python_enable_replacements": False,
        "python_scan_all_frames": False,
        "temp_directory": "",
    }
    if limits.memory_bytes is not None:
        settings["memory_limit"] = f"{max(limits.memory_bytes // 1000, 1)}KB"
    if limits.threads is not None:
        settings["threads"] = limits.threads
    return settings
