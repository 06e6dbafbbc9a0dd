"""A wide-area link in a process: a TCP proxy that delays and paces what passes, each direction for itself.

Stands in for netem, which needs rights that few have. Bytes leave at the rate of the link, half a round trip
after it had room for them. TCP acknowledges at the proxy, so no window limits the throughput; a real link of
this kind needs windows of a megabyte, which Linux grants.
"""

import queue
import socket
import threading
import time
from dataclasses import dataclass

from benchmarks.join.child import Child

_CHUNK_BYTES = 16 * 1024
_QUEUE_CHUNKS = 256  # 4 MiB: what a sender may be ahead of the link, like a socket's buffer


@dataclass(frozen=True)
class Link:
    """Units: bits per second in each direction; s."""

    bits_per_s: float
    rtt_s: float

    def formula_s(self, sent_bytes: list[int], rounds: int) -> float:
        """What bytes and rounds alone cost: both directions carry at once, so the busier one counts."""
        return max(sent_bytes) * 8 / self.bits_per_s + rounds * self.rtt_s


WAN = Link(100e6, 0.080)


class Direction:
    """One direction of the link, shared by all connections: when the next chunk will have passed."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._free_at = 0.0
        self._lock = threading.Lock()
        self.passed_bytes = 0

    def arrival(self, size: int) -> float:
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size * 8 / self._link.bits_per_s
            self.passed_bytes += size
            return self._free_at + self._link.rtt_s / 2


def forward(source: socket.socket, target: socket.socket, direction: Direction) -> None:
    """Passes everything on, in its time, until the source ends; then ends the target."""
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue(_QUEUE_CHUNKS)
    threading.Thread(target=_deliver, args=(waiting, target), daemon=True).start()
    while chunk := _received(source):
        waiting.put((direction.arrival(len(chunk)), chunk))
    waiting.put((direction.arrival(0), b""))


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(_CHUNK_BYTES)
    except OSError:
        return b""


def _deliver(waiting: "queue.Queue[tuple[float, bytes]]", target: socket.socket) -> None:
    try:
        while True:
            due, chunk = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not chunk:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(chunk)
    except OSError:
        return  # the target is gone, and its peer finds out by itself


def serve(listener: socket.socket, port: int, directions: tuple[Direction, Direction]) -> None:
    """Connects every caller to `port`: the first direction is the caller's, the second the answer's."""
    while True:
        caller, _ = listener.accept()
        called = socket.create_connection(("127.0.0.1", port))
        for each in (caller, called):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends, direction in zip(((caller, called), (called, caller)), directions, strict=True):
            threading.Thread(target=forward, args=(*ends, direction), daemon=True).start()


def main() -> None:
    """Order: `ports`, the real ones: that of side 0, then, if it listens too, that of side 1.

    Answers with the ports to call instead, then, whenever asked, with the bytes that passed from each side.
    """
    child = Child()
    order = child.hear()
    link = Link(order["bits_per_s"], order["rtt_s"])
    directions = (Direction(link), Direction(link))
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in order["ports"]]
    for index, (listener, port) in enumerate(zip(listeners, order["ports"], strict=True)):
        ways = directions[::-1] if index == 0 else directions  # who calls side 0 is side 1
        threading.Thread(target=serve, args=(listener, port, ways), daemon=True).start()
    child.say(ports=[each.getsockname()[1] for each in listeners])
    while True:
        child.hear()
        child.say(passed_bytes=[each.passed_bytes for each in directions])


if __name__ == "__main__":
    main()
