"""Nobody holds a connection by doing nothing with it, and one caller never holds all of them."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from xor.service import connection, listener
from xor.service.connection import Connection
from xor.service.listener import Listener, Places

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], Awaitable[Line]]


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a GET; reads the body of anything else first."""
    if scope["method"] != "GET":
        await Request(scope, receive).body()
    await PlainTextResponse("yes")(scope, receive, send)


def no_context() -> ssl.SSLContext:
    raise AssertionError("nobody speaks TLS here")


@asynccontextmanager
async def listening() -> AsyncIterator[Dial]:
    config = uvicorn.Config(answering, log_config=None, http=Connection)
    state = ServerState()
    bound = socket.create_server(("127.0.0.1", 0))
    taking = Listener(
        bound,
        no_context,
        lambda on_lost: Connection(on_lost, config=config, server_state=state, app_state={}),
    )
    lines: list[Line] = []

    async def dial() -> Line:
        lines.append(await asyncio.open_connection(*bound.getsockname()))
        return lines[-1]

    try:
        async with asyncio.timeout(60):
            yield dial
    finally:
        for _, writer in lines:
            writer.close()
        taking.close()
        await taking.wait_closed()


async def answer(line: Line) -> bytes:
    """What comes after a whole request: the first line of an answer, or nothing."""
    reader, writer = line
    try:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(3)
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""
    return head.split(b"\r\n")[0]


async def trickled(line: Line, piece: bytes, pause_s: float) -> bytes:
    """Says a little again and again until the connection is closed; everything that was answered."""
    reader, writer = line
    heard = b""
    while True:
        try:
            writer.write(piece)
            async with asyncio.timeout(pause_s):
                got = await reader.read(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            return heard
        if not got:
            return heard
        heard += got


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"G", id="the head of the first request"),
        pytest.param(REQUEST + b"G", id="the head of a later request"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n", id="a body nobody reads"
        ),
    ],
)
def test_who_trickles_is_shown_out(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)

    async def scene() -> None:
        async with listening() as dial:
            line = await dial()
            line[1].write(begun)
            heard = await trickled(line, b"x", 0.01)
            assert heard.count(b"200 OK") == (len(begun) > 1)

    asyncio.run(scene())


def test_the_body_of_a_request_under_way_has_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.2)

    async def scene() -> None:
        async with listening() as dial:
            reader, writer = await dial()
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n")
            for _ in range(40):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await reader.read(1)
                writer.write(b"x")
            assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"

    asyncio.run(scene())


def test_one_caller_holds_only_so_many_connections_and_gives_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "MAX_CONNECTIONS_OF_ONE", 2)

    async def scene() -> None:
        async with listening() as dial:
            first, second = await dial(), await dial()
            assert [await answer(each) for each in (first, second)] == [b"HTTP/1.1 200 OK"] * 2
            assert await answer(await dial()) == b""
            first[1].close()
            # Known to be gone when the service has read so.
            while not await answer(await dial()):
                pass
            assert await answer(second) == b"HTTP/1.1 200 OK"

    asyncio.run(scene())


def test_places_are_limited_in_all_and_for_one_caller() -> None:
    places = Places(most=3, most_of_one=2)
    for caller in ("a", "a", "b"):
        assert places.has_room(caller)
        places.take(caller)
    assert not any(map(places.has_room, "abc"))
    places.leave("b")
    assert not places.has_room("a")
    assert places.has_room("b")
    assert places.has_room("c")
