"""The first frame on the data plane: which job, which step, who calls. Routing only; identity is TLS.

After it the listening machine answers `ACCEPTED` and hands the socket to the job's worker. Each worker sends
`GO` when it has come to the step, so neither runs into the other's stall timeout while that one is busy with
an earlier step. Then TLS begins, which alone decides who is at the other end.
"""

import re
import struct
from dataclasses import dataclass

from xor.errors import ProtocolAbort
from xor.model.dataset import NAME

ACCEPTED = b"\x01"
GO = b"\x02"
MAGIC = b"XORROUT1"
_FRAME = struct.Struct("<8s32sI64s")
FRAME_BYTES = _FRAME.size


@dataclass(frozen=True, slots=True)
class Route:
    """One connection: the job, the number of the sealed join in its plan, the player that calls."""

    plan: str
    node: int
    player: str

    def to_bytes(self) -> bytes:
        return _FRAME.pack(MAGIC, bytes.fromhex(self.plan), self.node, self.player.encode("ascii"))

    @classmethod
    def from_bytes(cls, frame: bytes) -> "Route":
        """Reads a frame of exactly `FRAME_BYTES` from anybody.

        Raises:
            ProtocolAbort: it is no routing frame of this version.
        """
        refused = ProtocolAbort("a connection did not begin with a routing frame", code="protocol.not-route")
        if len(frame) != FRAME_BYTES:
            raise refused
        magic, plan, node, padded_name = _FRAME.unpack(frame)
        name = padded_name.rstrip(b"\0").decode("latin-1")
        if magic != MAGIC or not re.fullmatch(NAME, name):
            raise refused
        return cls(plan.hex(), node, name)
