"""Private steps at a machine: the core's functions under the engine's name.

`machine` may not import the core itself; what it may do with it is here, and no more. Each function is one
whole step; its contract stands in the core's stub.
"""

from xor._core import job_key, release_table, restrict_filesystem, sealed_join

__all__ = ["job_key", "release_table", "restrict_filesystem", "sealed_join"]
