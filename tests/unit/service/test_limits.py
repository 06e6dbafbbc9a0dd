"""Buckets fill and empty by the clock, and nobody's are kept for ever."""

import pytest

from xor.errors import ResourceError
from xor.service import limits
from xor.service.limits import Limits, Rate

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
