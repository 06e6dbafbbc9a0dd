"""How two workers find each other: one calls, the other waits for the socket that its machine hands over."""

import contextlib
import json
import random
import select
import socket
import time
from collections import defaultdict
from collections.abc import Iterator

from xor.errors import PeerError
from xor.machine.directory import parse_address
from xor.machine.routing import ACCEPTED, CONTROL_LANE, GO, Call, Route

DIAL_TIMEOUT_S = 5.0
MAX_PAUSE_S = 1.0
MAX_WAITING = 8
"""Connections for one route. Calls can be replayed; the one that passes TLS is the peer's."""

_MESSAGE_BYTES = 1024


def dial(address: str, call: Call, timeout_s: float) -> socket.socket:
    """Calls the machine of a peer until it takes the call. Before TLS on the control lane, `agree_to_go`.

    Raises:
        PeerError: nobody took the call within the time.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.05
    while True:
        try:
            return _dial_once(parse_address(address), call)
        except OSError:
            if time.monotonic() + pause_s > deadline:
                raise _absent(call.route) from None
        # Jitter: two workers that failed together should not knock together again.
        time.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _dial_once(address: tuple[str, int], call: Call) -> socket.socket:
    connection = socket.create_connection(address, timeout=DIAL_TIMEOUT_S)
    try:
        connection.sendall(call.to_bytes())
        if connection.recv(1) != ACCEPTED:
            raise ConnectionError
    except BaseException:
        connection.close()
        raise
    return connection


def agree_to_go(connection: socket.socket, timeout_s: float) -> None:
    """Tells the peer that this worker has come to the step, and waits for the same word.

    Args:
        timeout_s: long, since the peer may be busy with an earlier step.

    Raises:
        PeerError: the peer went away, or said nothing within the time.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.settimeout(timeout_s)
    try:
        connection.sendall(GO)
        is_agreed = connection.recv(1) == GO
        connection.settimeout(None)
    except OSError:
        is_agreed = False
    if not is_agreed:
        connection.close()
        raise PeerError("the peer went away before the step began", code="peer.closed")


class Incoming:
    """The sockets that the machine's listener hands to this worker, sorted by route.

    Args:
        handed: the socket over which they come, one message with one descriptor each.
    """

    def __init__(self, handed: socket.socket, plan: str) -> None:
        self._handed = handed
        self._plan = plan
        self._waiting: dict[Route, list[socket.socket]] = defaultdict(list)

    def calls(self, route: Route, timeout_s: float) -> Iterator[socket.socket]:
        """Connections for one lane, one after the other, while the caller wants more.

        On the control lane they have said GO, on others they have begun TLS.

        Raises:
            PeerError: none came within the time.
        """
        is_control = route.lane == CONTROL_LANE
        may_begin = _says_go if is_control else _says_something
        deadline = time.monotonic() + timeout_s
        while True:
            candidates = self._waiting[route]
            # With a call on the line the peer is there and may take its time, up to the end of the job. Once
            # it has come to the step, it opens the other lanes without delay.
            patience_s = None if candidates and is_control else deadline - time.monotonic()
            if patience_s is not None and patience_s <= 0:
                raise _absent(route)
            ready, _, _ = select.select([self._handed, *candidates], [], [], patience_s)
            if self._handed in ready:
                self._take()
            for connection in [each for each in candidates if each in ready]:
                candidates.remove(connection)
                if may_begin(connection):
                    yield connection

    def _take(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._handed, _MESSAGE_BYTES, 1)
        if not message:
            raise PeerError("the machine has gone", code="peer.interrupted")
        body = json.loads(message)
        route = Route(self._plan, body["node"], body["lane"], body["player"])
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            if len(self._waiting[route]) >= MAX_WAITING:
                connection.close()
                continue
            self._waiting[route].append(connection)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _says_go(connection: socket.socket) -> bool:
    """Whether the caller said GO, which it has already sent or will not send any more."""
    try:
        connection.setblocking(False)
        heard = connection.recv(1)
        connection.settimeout(None)
        if heard == GO:
            connection.sendall(GO)
            return True
    except OSError:
        pass
    connection.close()
    return False


def _says_something(connection: socket.socket) -> bool:
    """Whether the caller, who has sent something or hung up, has not hung up."""
    with contextlib.suppress(OSError):
        if connection.recv(1, socket.MSG_PEEK):
            return True
    connection.close()
    return False


def hand_over(handed: socket.socket, route: Route, connection: socket.socket) -> None:
    """Accepts a call and gives it to the worker at the other end of `handed`. The caller closes its own copy.

    Raises:
        OSError: the worker takes no more, or has gone.
    """
    connection.send(ACCEPTED)
    # The mode belongs to the connection, not to our copy of it: set it before the worker has one.
    connection.setblocking(True)
    message = json.dumps({"node": route.node, "lane": route.lane, "player": route.player}).encode()
    socket.send_fds(handed, [message], [connection.fileno()])


def _absent(route: Route) -> PeerError:
    return PeerError(
        f"no connection for step {route.node} within the time",
        code="peer.unreachable",
        hint="is the other machine up, and its listening address reachable?",
    )
