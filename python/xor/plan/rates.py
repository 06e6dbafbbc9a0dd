"""Measured constants of the cost model. Data: `python -m benchmarks.rates` measures them again.

Measured on 2026-11-25; two cores with AVX2; between the release and the development profile of the core, of
which the second is about twice as slow.

Units: nanoseconds of one core for each row, value, slot or byte, unless the name says otherwise. Estimates
are meant to be right within a factor of 2 on machines of this class; faster cores make them too careful.
"""

from typing import Final

READ_VALUE: Final = 90.0
"""From a source to a checked column: parsing, bounds."""
LOCAL_ROW: Final = 250.0
"""A row that enters a local join or filter."""
KEYS_ROW: Final = 350.0
"""Normal form of a key, its hash, grouping."""

DH_OWN_ROW: Final = 160_000.0
"""Hash to the group, three multiplications, two decodings and a share of the proof."""
DH_PEER_ROW: Final = 60_000.0

VOLE_FIXED_S: Final = 0.25
"""Seconds of one core for base OTs, extensions and the dual step of both directions."""
VOLE_RECEIVE_SLOT: Final = 150.0
VOLE_SEND_SLOT: Final = 70.0
OKVS_ENCODE_ROW: Final = 160.0
OKVS_DECODE_ROW: Final = 75.0
"""At the peer's table, and once more at the own one."""

CELL_ROW: Final = 650.0
"""A label, a keystream, its place in the sorted list."""
SEAL_BYTE: Final = 1.2
"""Sealing, hashing and writing a byte of a stream."""
STORE_BYTES_PER_S: Final = 200e6
"""Upload of a stream to the service, and its download."""
OPEN_BYTE: Final = 0.7
OPEN_ROW: Final = 300.0

JOB_S: Final = 1.5
"""Seconds of any job: judging, approvals, starting workers, meeting, polling."""

PROCESS_BYTES: Final = 250 * 2**20
"""Memory of a worker that holds no row yet."""
DH_OWN_BYTES: Final = 130
DH_PEER_BYTES: Final = 32
DH_BATCH_BYTES: Final = 160 * 2 * 2**14
VOLE_SLOT_BYTES: Final = 80
"""Shares of both directions, the table and the places of its rows, for each slot of both tables."""
VOLE_FIXED_BYTES: Final = 48 * 2**20
SPILL_BYTES: Final = 7 * 2**26
"""Blocks and small parts where rows and lists lie on disk. Measured: 500 MiB in all for 10 million rows."""
PARTS_IN_MEMORY: Final = 6
"""Two parts of a table with all that is made of them, or two of a list."""
SPILLED_ROW_BYTES: Final = 192
"""On disk for each row: its input three times, two half secrets with it, and framing."""
UNIQUE_ROW_BYTES: Final = 17
"""A hash for each row, sorted and compared."""
