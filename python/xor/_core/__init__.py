"""The Rust core: private joins, the outer seal and the keys they need.

This package re-exports the compiled module, which nothing else imports. Each call is one whole step of a
plan: it takes Arrow tables and public parameters and gives back ciphertext, or, at a recipient, rows.
No share and no key of a protocol ever crosses this border.
"""

from typing import TYPE_CHECKING

from xor._core._rust import (
    PROFILE,
    ArrowStream,
    SpilledTable,
    job_key,
    keep_freed_memory,
    matched_join,
    open_release,
    open_sealed,
    release_table,
    restrict_filesystem,
    run_locally,
    run_matched_locally,
    seal_public_key,
    sealed_join,
    spill_table,
)

if TYPE_CHECKING:
    from xor._core._rust import ArrowStreamExportable as ArrowStreamExportable
    from xor._core._rust import MatchReport as MatchReport
    from xor._core._rust import SealReport as SealReport
    from xor._core._rust import StepReport as StepReport
    from xor._core._rust import Transcript as Transcript

__all__ = [
    "PROFILE",
    "ArrowStream",
    "SpilledTable",
    "job_key",
    "keep_freed_memory",
    "matched_join",
    "open_release",
    "open_sealed",
    "release_table",
    "restrict_filesystem",
    "run_locally",
    "run_matched_locally",
    "seal_public_key",
    "sealed_join",
    "spill_table",
]
