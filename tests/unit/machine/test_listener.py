"""The data port: what a stranger can send, and how little of it matters."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from xor.errors import PeerError, ProtocolAbort
from xor.machine import listener as port
from xor.machine.listener import Listener
from xor.machine.meeting import Incoming, dial, hand_over
from xor.machine.routing import ACCEPTED, FRAME_BYTES, GO, Call, Route
from xor.signing import SigningKey

PLAN = "ab" * 32
ROUTE = Route(PLAN, 5, 0, "player-1")
SEED = bytes(32)
CALL = Call.signed(ROUTE, SEED)


def served(scenario: Callable[[Listener, list], Awaitable[None]], takes: bool = True) -> list:
    """Runs a scenario against a listener; returns what it handed over, as (route, following bytes)."""
    handed: list = []

    def hand(call: Call, connection: socket.socket) -> bool:
        copy = connection.dup()
        handed.append((call.route, copy))
        return takes

    async def run() -> None:
        listener = Listener("127.0.0.1:0", hand)
        serving = asyncio.create_task(listener.serve())
        try:
            await asyncio.wait_for(scenario(listener, handed), 20)
        finally:
            serving.cancel()
            listener.close()

    asyncio.run(run())
    return handed


async def connect(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, number = listener.address.split(":")
    return await asyncio.open_connection(host, int(number))


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n" * 20, b"\x00" * 500, b"\x16\x03\x01" * 200])
def test_garbage_is_closed_and_reaches_no_worker(garbage):
    async def scenario(listener, _handed):
        reader, writer = await connect(listener)
        writer.write(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""

    assert served(scenario) == []


def test_silence_is_closed_after_the_timeout(monkeypatch):
    monkeypatch.setattr(port, "FRAME_TIMEOUT_S", 0.05)

    async def scenario(listener, _handed):
        reader, writer = await connect(listener)
        writer.write(CALL.to_bytes()[:50])
        assert await reader.read() == b""

    assert served(scenario) == []


def test_a_flood_from_one_address_is_cut_and_the_next_call_is_taken(monkeypatch):
    monkeypatch.setattr(port, "FRAME_TIMEOUT_S", 0.5)

    async def scenario(listener, handed):
        flood = [await connect(listener) for _ in range(port.MAX_PENDING_OF_ONE + 30)]
        ends = [asyncio.create_task(reader.read()) for reader, _ in flood]
        done, _ = await asyncio.wait(ends, timeout=0.3)
        assert len(done) >= 30
        await asyncio.wait(ends)
        _, writer = await connect(listener)
        writer.write(CALL.to_bytes())
        while not handed:
            await asyncio.sleep(0.01)

    assert [route for route, _ in served(scenario)] == [ROUTE]


def test_what_follows_the_frame_is_left_to_the_worker():
    async def scenario(listener, handed):
        _, writer = await connect(listener)
        writer.write(CALL.to_bytes() + GO + b"the start of TLS")
        while not handed:
            await asyncio.sleep(0.01)

    [(route, connection)] = served(scenario)
    connection.settimeout(5)
    assert route == ROUTE
    assert connection.recv(100) == GO + b"the start of TLS"


def test_a_route_that_nobody_expects_is_closed():
    async def scenario(listener, _handed):
        reader, writer = await connect(listener)
        writer.write(CALL.to_bytes())
        # The copy in `served` keeps the connection open; without a worker there is no word on it.
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)

    served(scenario, takes=False)


def test_a_routing_frame_reads_back_and_nothing_else_does():
    assert Call.from_bytes(CALL.to_bytes()) == CALL
    good = CALL.to_bytes()
    for bad in (b"", good[:-1], good + b"x", b"Y" + good[1:], good[:45] + b"../../etc" + good[54:]):
        with pytest.raises(ProtocolAbort):
            Call.from_bytes(bad)
    assert len(good) == FRAME_BYTES


def test_a_call_counts_only_with_the_signature_of_the_job_key_over_its_route():
    key = SigningKey(SEED).public
    assert CALL.is_from(key)
    assert not CALL.is_from("")
    assert not CALL.is_from(SigningKey(bytes([1]) * 32).public)
    assert not Call(Route(PLAN, 6, 0, "player-1"), CALL.signature).is_from(key)
    assert not Call(Route(PLAN, 5, 1, "player-1"), CALL.signature).is_from(key)


def pair() -> tuple[socket.socket, socket.socket]:
    """A connection: the caller's end, and the end that the listening machine holds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        caller = socket.create_connection(server.getsockname())
        taken, _ = server.accept()
    return caller, taken


def test_of_several_calls_each_that_says_go_is_tried_in_turn():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stranger, first = pair()
    peer, second = pair()
    silent, third = pair()
    for connection in (first, second, third):
        with connection:
            hand_over(ours, ROUTE, connection)
    assert stranger.recv(1) == ACCEPTED
    stranger.sendall(GO + b"stranger")
    calls = Incoming(theirs, PLAN).calls(ROUTE, 5)
    assert next(calls).recv(100) == b"stranger"
    peer.sendall(GO + b"peer")
    assert next(calls).recv(100) == b"peer"
    assert peer.recv(2) == ACCEPTED + GO
    silent.close()


def test_a_data_lane_is_taken_once_tls_begins_and_each_lane_has_its_own_calls():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    gone, silent, stranger, peer, control = (pair() for _ in range(5))
    lane = replace(ROUTE, lane=1)
    for route, (_, taken) in ((lane, gone), (lane, silent), (lane, stranger), (lane, peer), (ROUTE, control)):
        with taken:
            hand_over(ours, route, taken)
    gone[0].close()
    stranger[0].sendall(b"stranger")
    calls = Incoming(theirs, PLAN).calls(lane, 5)
    assert next(calls).recv(100) == b"stranger"
    peer[0].sendall(b"\x16 TLS")
    assert next(calls).recv(100) == b"\x16 TLS"
    assert peer[0].recv(2) == ACCEPTED, "no GO beside the control lane's"


def test_a_silent_call_on_a_data_lane_does_not_hold_a_step():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    lane = replace(ROUTE, lane=1)
    silent, taken = pair()
    with silent, taken:
        hand_over(ours, lane, taken)
        with pytest.raises(PeerError, match="step 5"):
            next(Incoming(theirs, PLAN).calls(lane, 0.2))


def test_nobody_calls_is_an_error_that_names_the_step():
    _, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with pytest.raises(PeerError, match="step 5"):
        next(Incoming(theirs, PLAN).calls(ROUTE, 0.05))


def test_nobody_answers_is_an_error_after_the_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(PeerError) as raised:
        dial(address, CALL, 0.2)
    assert raised.value.code == "peer.unreachable"
