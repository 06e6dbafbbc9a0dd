"""The service's port: TLS for everybody; plain HTTP only between two loopback addresses of one computer."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial

from xor.model.address import is_loopback
from xor.service.limits import address_of

FIRST_BYTE_S = 10.0
HANDSHAKE_S = 10.0
SHUTDOWN_S = 5.0
MAX_PENDING = 256
"""Connections that have not said anything yet, or are in their handshake."""
MAX_PENDING_OF_ONE = 64
"""The same, from one address: one stranger alone cannot fill the port."""
MAX_CONNECTIONS = 800
"""Hundreds of machines and clients that wait; few enough that of 1024 descriptors some are left for files."""
MAX_CONNECTIONS_OF_ONE = 700
_TLS_HANDSHAKE = 0x16
"""The first byte of a TLS connection (RFC 8446, section 5.1); HTTP begins with a letter."""


class Places:
    """Connections of one kind, limited in all and for one caller."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[str] = Counter()

    def has_room(self, caller: str) -> bool:
        return self._taken.total() < self._most and self._taken[caller] < self._most_of_one

    def take(self, caller: str) -> None:
        self._taken[caller] += 1

    def leave(self, caller: str) -> None:
        self._taken -= Counter({caller: 1})


class Listener:
    """Accepts connections and gives each a protocol of its own.

    Args:
        bound: a listening socket.
        context: gives the TLS context of a new connection.
        protocol: makes what speaks HTTP, from what it calls when its connection is gone.
    """

    def __init__(
        self,
        bound: socket.socket,
        context: Callable[[], ssl.SSLContext],
        protocol: Callable[[Callable[[], None]], asyncio.Protocol],
    ) -> None:
        bound.setblocking(False)
        self._socket = bound
        self._context = context
        self._protocol = protocol
        self._pending = Places(MAX_PENDING, MAX_PENDING_OF_ONE)
        self._open = Places(MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ONE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Takes no new connections; those that are there stay."""
        self._accepting.cancel()
        for task in self._tasks:
            task.cancel()
        self._socket.close()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._accepting, *self._tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, remote = await loop.sock_accept(self._socket)
            except OSError:
                # Out of descriptors, or a caller that is gone already. The next call may go better.
                await asyncio.sleep(0.1)
                continue
            caller = address_of(str(remote[0]))
            if not (self._pending.has_room(caller) and self._open.has_room(caller)):
                connection.close()
                continue
            self._pending.take(caller)
            self._open.take(caller)
            task = asyncio.create_task(self._take(connection, caller))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, connection: socket.socket, caller: str) -> None:
        connection.setblocking(False)
        is_taken = False
        try:
            with contextlib.suppress(OSError, TimeoutError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                is_tls = await _first_byte(connection) == _TLS_HANDSHAKE
                if is_tls or _is_inside(connection):
                    await asyncio.get_running_loop().connect_accepted_socket(
                        lambda: self._protocol(partial(self._open.leave, caller)),
                        connection,
                        ssl=self._context() if is_tls else None,
                        ssl_handshake_timeout=HANDSHAKE_S if is_tls else None,
                        ssl_shutdown_timeout=SHUTDOWN_S if is_tls else None,
                    )
                    is_taken = True
        finally:
            self._pending.leave(caller)
            if not is_taken:
                self._open.leave(caller)
                connection.close()


async def _first_byte(connection: socket.socket) -> int | None:
    """Looks at the first byte and leaves it there; None if the caller has gone."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(connection, is_readable.set)
    try:
        async with asyncio.timeout(FIRST_BYTE_S):
            await is_readable.wait()
    finally:
        loop.remove_reader(connection)
    seen = connection.recv(1, socket.MSG_PEEK)
    return seen[0] if seen else None


def _is_inside(connection: socket.socket) -> bool:
    """Whether nobody but this computer sees what is said."""
    return all(is_loopback(str(each[0])) for each in (connection.getsockname(), connection.getpeername()))
