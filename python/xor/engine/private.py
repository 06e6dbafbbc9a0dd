"""Private steps at a machine: the core's functions under the engine's name.

`machine` may not import the core itself; what it may do with it is here, and no more. Each function is one
whole step; its contract stands in the core's stub.
"""

from typing import TYPE_CHECKING

from xor._core import (
    SpilledTable,
    job_key,
    matched_join,
    release_table,
    restrict_filesystem,
    sealed_join,
    spill_table,
)

if TYPE_CHECKING:
    from xor._core import MatchReport as MatchReport  # noqa: PLC0414  re-exported for type checkers
    from xor._core import SealReport as SealReport  # noqa: PLC0414

__all__ = [
    "SpilledTable",
    "job_key",
    "matched_join",
    "release_table",
    "restrict_filesystem",
    "sealed_join",
    "spill_table",
]
