"""The one port on which other machines reach this one.

Reads the routing frame, and nothing after it, then hands the socket to the worker of the job. Whoever calls
is a stranger until the worker's TLS says otherwise, so everything here is small, counted and short-lived.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable

from xor.errors import ProtocolAbort, ResourceError
from xor.machine.directory import parse_address
from xor.machine.routing import FRAME_BYTES, Call

FRAME_TIMEOUT_S = 5.0
MAX_PENDING = 64
"""Connections whose routing frame is awaited."""
MAX_PENDING_OF_ONE = 16
"""The same, from one address: one stranger alone cannot fill the port."""

HandOver = Callable[[Call, socket.socket], bool]
"""Gives a connection to the worker that expects it; False: nobody expects this call."""


class Listener:
    """Listens, routes, hands over.

    Args:
        address: `HOST:PORT`; port 0 takes a free one.

    Raises:
        ResourceError: the port is in use.
    """

    def __init__(self, address: str, hand_over: HandOver) -> None:
        host, port = parse_address(address)
        self._hand_over = hand_over
        self._pending: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            raise ResourceError(
                f"cannot listen at {address}: {error.strerror}",
                code="resource.port",
                hint="is another machine running here? Choose another port in machine.toml.",
            ) from None
        self._socket.setblocking(False)
        name = self._socket.getsockname()
        self.address = f"[{name[0]}]:{name[1]}" if family == socket.AF_INET6 else f"{name[0]}:{name[1]}"

    async def serve(self) -> None:
        """Takes calls until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, remote = await loop.sock_accept(self._socket)
            except OSError:
                # Out of descriptors, or a caller that is gone already. The next call may go better.
                await asyncio.sleep(0.1)
                continue
            caller = str(remote[0])
            if self._pending.total() >= MAX_PENDING or self._pending[caller] >= MAX_PENDING_OF_ONE:
                connection.close()
                continue
            self._pending[caller] += 1
            task = asyncio.create_task(self._take(connection, caller))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        self._socket.close()
        for task in self._tasks:
            task.cancel()

    async def _take(self, connection: socket.socket, caller: str) -> None:
        try:
            # Our copy is closed here in any case; the worker, if there is one, has its own.
            with connection, contextlib.suppress(OSError, ProtocolAbort, TimeoutError):
                connection.setblocking(False)
                async with asyncio.timeout(FRAME_TIMEOUT_S):
                    call = Call.from_bytes(await _frame(connection))
                self._hand_over(call, connection)
        finally:
            self._pending -= Counter({caller: 1})


async def _frame(connection: socket.socket) -> bytes:
    """Exactly one routing frame; what follows it belongs to the worker and stays in the socket."""
    loop = asyncio.get_running_loop()
    frame = b""
    while len(frame) < FRAME_BYTES:
        received = await loop.sock_recv(connection, FRAME_BYTES - len(frame))
        if not received:
            raise ConnectionError
        frame += received
    return frame
