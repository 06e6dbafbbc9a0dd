"""A TCP line that is slow, far, half-open or cut, between any two processes. Bytes are never looked into."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

HOST = "127.0.0.1"
PIECE_BYTES = 2**16
PIECES_PER_S = 20
"""A slow line carries small pieces often instead of large ones seldom."""
_RESET = struct.pack("ii", 1, 0)
"""A socket that does not linger is closed with RST."""


@dataclass(frozen=True)
class Line:
    """What happens to the bytes of each connection; by default nothing.

    Args:
        delay_s: how long each piece takes, on top of what `bytes_per_s` makes of it.
        silent_after: after so many bytes, both ways together, the connection stays open and carries nothing
            any more, not even its end. 0: it is taken and never answered.
        cut_within: the connection is cut at a random place before so many bytes, by RST or by an end.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    silent_after: int | None = None
    cut_within: int | None = None


class Connection:
    """What one connection has carried, and where it is cut."""

    def __init__(self, chance: random.Random) -> None:
        self.carried = 0
        self.is_silent = False
        self.share = chance.random()
        self.is_reset = chance.random() < 0.5


class Cut(Exception):
    """The connection has come to the place where it is cut."""


class Proxy:
    """Listens on loopback and carries to `target`.

    The line may be changed at any moment, for all connections; what has been silenced stays silent.

    Args:
        target: where the line ends, `(host, port)`.
        seed: of the places where connections are cut.
        is_recording: keeps in `recorded` what each connection has carried, one entry for each direction.
    """

    def __init__(
        self,
        target: tuple[str, int],
        seed: int = 0,
        line: Line | None = None,
        *,
        is_recording: bool = False,
    ) -> None:
        self.target = target
        self.line = line or Line()
        self.carried = 0
        self.cuts = 0
        self.silenced = 0
        self.recorded: list[bytearray] = []
        self._is_recording = is_recording
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._take, sock=self._socket))
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(asyncio.CancelledError):  # the proxy ends; asyncio would call that an error
            await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self._chance)
        try:
            there = await asyncio.open_connection(*self.target)
        except OSError:
            _close(writer, is_reset=True)
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(connection, reader, there[1]))
                group.create_task(self._carry(connection, there[0], writer))
        except* Cut:
            self.cuts += 1
        except* OSError:
            connection.is_reset = True  # one end was cut: so is the other
        finally:
            for end in (writer, there[1]):
                _close(end, is_reset=connection.is_reset)

    async def _carry(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        recorded = bytearray()
        if self._is_recording:
            self.recorded.append(recorded)
        while piece := await reader.read(self._piece_bytes()):
            line = self.line
            await asyncio.sleep(line.delay_s + (len(piece) / line.bytes_per_s if line.bytes_per_s else 0))
            kept = self._kept(connection, len(piece))
            connection.carried += kept
            self.carried += kept
            writer.write(piece[:kept])
            if self._is_recording:
                recorded += piece[:kept]
            await writer.drain()
            if kept < len(piece) and not connection.is_silent:
                raise Cut
        if connection.is_silent:
            await asyncio.Event().wait()  # its end is not carried either
        writer.write_eof()

    def _piece_bytes(self) -> int:
        rate = self.line.bytes_per_s
        return PIECE_BYTES if rate is None else max(1, min(PIECE_BYTES, int(rate / PIECES_PER_S)))

    def _kept(self, connection: Connection, length: int) -> int:
        """How much of the next piece gets through."""
        if connection.is_silent:
            return 0
        line = self.line
        ends = [length]
        if line.cut_within is not None:
            ends.append(int(connection.share * line.cut_within) - connection.carried)
        if line.silent_after is not None:
            ends.append(line.silent_after - connection.carried)
            connection.is_silent = ends[-1] == min(ends) < length
            self.silenced += connection.is_silent
        return max(0, min(ends))


def _close(writer: asyncio.StreamWriter, *, is_reset: bool) -> None:
    """Closes at once; with RST, or with an end after what has been written."""
    if not is_reset:
        writer.close()
        return
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
