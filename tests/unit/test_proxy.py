"""The line that end-to-end tests put between processes does what it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from xor.testing.proxy import Line, Proxy

TEXT = bytes(range(256)) * 40


class Echo:
    """Sends back what it gets, one connection after the other."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(1000):
                    connection.sendall(piece)
            except OSError:
                return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


def exchanged(proxy: Proxy, timeout_s: float = 20) -> tuple[bytes, str]:
    """What comes back for `TEXT`, and how it ended: end, reset or silence."""
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s) as line:
            line.sendall(TEXT)
            line.shutdown(socket.SHUT_WR)
            while piece := line.recv(65536):
                got += piece
    except TimeoutError:
        return got, "silence"
    except OSError:
        return got, "reset"
    return got, "end"


def test_a_line_carries_all_bytes_and_the_end(echo: Echo) -> None:
    with Proxy(echo.address, seed=1) as proxy:
        assert exchanged(proxy) == (TEXT, "end")
        assert (proxy.carried, proxy.cuts) == (2 * len(TEXT), 0)


def test_a_slow_line_takes_the_time_that_its_rate_says(echo: Echo) -> None:
    with Proxy(echo.address, seed=1, line=Line(bytes_per_s=len(TEXT))) as proxy:
        began = time.monotonic()
        assert exchanged(proxy) == (TEXT, "end")
        assert time.monotonic() - began > 0.9


def test_a_delayed_line_delays(echo: Echo) -> None:
    with Proxy(echo.address, seed=1, line=Line(delay_s=0.2)) as proxy:
        began = time.monotonic()
        assert exchanged(proxy) == (TEXT, "end")
        assert time.monotonic() - began > 0.4


@pytest.mark.parametrize("after", [0, 3000])
def test_a_silenced_connection_stays_open_and_others_may_come_after_it(echo: Echo, after: int) -> None:
    with Proxy(echo.address, seed=1, line=Line(silent_after=after)) as proxy:
        got, end = exchanged(proxy, timeout_s=0.5)
        assert end == "silence"
        assert len(got) <= proxy.carried == after
        assert TEXT.startswith(got)
        proxy.line = Line()
        assert exchanged(proxy) == (TEXT, "end")


def test_connections_are_cut_at_places_that_the_seed_draws(echo: Echo) -> None:
    seen = []
    for _ in range(2):
        with Proxy(echo.address, seed=7, line=Line(cut_within=len(TEXT))) as proxy:
            places = []
            for _ in range(8):
                before = proxy.carried
                got, end = exchanged(proxy)
                # An end before all has been read is a reset too.
                assert end != "silence"
                assert TEXT.startswith(got)
                places.append(proxy.carried - before)
            assert proxy.cuts == 8
        seen.append(places)
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 4


def test_nobody_at_the_other_end_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = free.getsockname()
    with Proxy(nowhere, seed=1) as proxy:
        assert exchanged(proxy) == (b"", "reset")
