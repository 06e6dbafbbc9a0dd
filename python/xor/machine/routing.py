"""The first frame on the data plane: which job, step and lane, who calls, signed by the caller's job key.

The listening machine knows that key from the caller's verified offer, so a stranger's call ends here, however
much it knows of the job. It answers `ACCEPTED` and hands the socket to the job's worker. Each worker sends
`GO` on the control lane when it has come to the step, so neither runs into the other's stall timeout while
that one is busy with an earlier step. Then TLS begins on all lanes, which alone decides who is at the other
end: a frame can be replayed.
"""

import re
import struct
from dataclasses import dataclass

from xor.errors import ProtocolAbort
from xor.model.dataset import NAME
from xor.signing import SigningKey, verify

ACCEPTED = b"\x01"
GO = b"\x02"
MAGIC = b"XORROUT2"
CONTROL_LANE = 0
_ROUTE = struct.Struct("<8s32sIB64s")
FRAME_BYTES = _ROUTE.size + 64


@dataclass(frozen=True, slots=True)
class Route:
    """One connection: the job, the number of the private join in its plan, lane, the player that calls."""

    plan: str
    node: int
    lane: int
    player: str

    def to_bytes(self) -> bytes:
        return _ROUTE.pack(MAGIC, bytes.fromhex(self.plan), self.node, self.lane, self.player.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Call:
    """A route and the signature of whoever claims to be its player. Holding one says nothing."""

    route: Route
    signature: bytes

    def is_from(self, job_key: str) -> bool:
        """Whether the holder of the key (hex) has signed the route."""
        return verify(job_key, self.route.to_bytes(), self.signature)

    def to_bytes(self) -> bytes:
        return self.route.to_bytes() + self.signature

    @classmethod
    def signed(cls, route: Route, seed: bytes) -> "Call":
        """A call signed with the seed of a job's TLS key.

        Security: what TLS 1.3 signs begins with 64 spaces (RFC 8446 section 4.4.3), a route never does.
        """
        return cls(route, SigningKey(seed).sign(route.to_bytes()))

    @classmethod
    def from_bytes(cls, frame: bytes) -> "Call":
        """Reads a frame of exactly `FRAME_BYTES` from anybody.

        Raises:
            ProtocolAbort: it is no routing frame of this version.
        """
        refused = ProtocolAbort("a connection did not begin with a routing frame", code="protocol.not-route")
        if len(frame) != FRAME_BYTES:
            raise refused
        magic, plan, node, lane, padded_name = _ROUTE.unpack(frame[: _ROUTE.size])
        name = padded_name.rstrip(b"\0").decode("latin-1")
        if magic != MAGIC or not re.fullmatch(NAME, name):
            raise refused
        return cls(Route(plan.hex(), node, lane, name), frame[_ROUTE.size :])
