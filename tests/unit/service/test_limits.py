"""Buckets fill and empty by the clock, and nobody's are kept for ever."""

import asyncio
from pathlib import Path

import pytest
from starlette.types import Message

from xor.errors import ResourceError
from xor.service import app, limits
from xor.service.limits import Limits, Rate, address_of

RATE = Rate(burst=3, per_s=2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def taken(held: Limits, who: str) -> int:
    """How many requests pass at once."""
    count = 0
    try:
        while count < 100:
            held.take(who, RATE)
            count += 1
    except ResourceError:
        pass
    return count


def test_a_bucket_empties_fills_with_time_and_no_further_than_its_burst() -> None:
    clock = Clock()
    held = Limits(clock)
    assert taken(held, "a") == 3
    clock.now += 1
    assert taken(held, "a") == 2
    clock.now += 1000
    assert taken(held, "a") == 3
    assert taken(held, "b") == 3


def test_buckets_of_the_quiet_are_forgotten_and_those_of_the_busy_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_KEPT", 10)
    clock = Clock()
    held = Limits(clock)
    for index in range(1000):
        clock.now += 0.0001
        held.take(f"stranger {index}", RATE)
        if index % 3 == 0:
            taken(held, "busy")
    assert len(held._left) <= 10
    assert taken(held, "busy") == 0


def test_open_requests_are_given_back_whatever_happens() -> None:
    held = Limits()
    with held.open("a", 1):
        with pytest.raises(ResourceError), held.open("a", 1):
            pass
        with held.open("b", 1):
            pass
    with pytest.raises(RuntimeError), held.open("a", 1):
        raise RuntimeError
    with held.open("a", 1):
        pass
    assert not held._open


@pytest.mark.parametrize(
    ("host", "caller"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_caller_is_an_address_or_the_whole_network_of_one(host: str, caller: str) -> None:
    assert address_of(host) == caller


def test_who_stops_taking_a_stream_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "STALL_S", 0.05)
    path = tmp_path / "stream"
    path.write_bytes(bytes(2**20))
    held = Limits()
    sent: list[str] = []

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()

    async def send(message: Message) -> None:
        sent.append(message["type"])
        assert held.open_requests("a") == 1
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def scene() -> None:
        scope = {"type": "http", "method": "GET", "headers": [], "extensions": {}}
        async with asyncio.timeout(20):
            await app._Stream(path, held.open("a", 1))(scope, receive, send)

    asyncio.run(scene())
    assert sent == ["http.response.start", "http.response.body"]
    assert held.open_requests("a") == 0
