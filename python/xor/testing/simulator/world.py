"""Virtual time, one seed, and a network that loses, repeats and delays messages."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Answer = TypeVar("Answer")
Action = Callable[[], None]

EPOCH = 1_800_000_000
"""Seconds since 1970 UTC at which every simulation begins."""


@dataclass(frozen=True)
class Faults:
    """How much goes wrong, as probabilities; delays in seconds of virtual time."""

    lost: float = 0.08
    repeated: float = 0.1
    delay_s: float = 2.0
    crash: float = 0.01
    lie: float = 0.1


class World:
    """The only source of time and chance in a simulation: same seed, same history."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.now = float(EPOCH)
        self.history: list[str] = []
        self._queue: list[tuple[float, int, Action]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Action) -> None:
        """Does `action` that much later."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), action))

    def run(self, until_s: float, is_done: Callable[[], bool]) -> None:
        """Lets time pass until `is_done` or so many seconds are over."""
        end = EPOCH + until_s
        while self._queue and not is_done():
            at, _, action = heapq.heappop(self._queue)
            if at > end:
                return
            self.now = at
            action()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def delay(self) -> float:
        return self.random.uniform(0.001, self.faults.delay_s)

    def note(self, text: str) -> None:
        """One line of the history, for whoever reads why a seed failed."""
        self.history.append(f"{self.now - EPOCH:9.3f}  {text}")

    def request(
        self, ask: Callable[[], Answer], on_answer: Callable[[Answer | None], None], timeout_s: float = 10.0
    ) -> None:
        """Sends a request: it, or its answer, may be lost or late, and the request may arrive twice.

        `ask` runs where the request arrives and may raise what the receiver refuses; `on_answer` gets the
        answer, or None when the sender gives up. It is called exactly once.
        """
        answered = [False]

        def deliver(answer: Answer | None) -> None:
            if not answered[0]:
                answered[0] = True
                on_answer(answer)

        def arrive() -> None:
            answer = ask()
            if not self.chance(self.faults.lost):
                self.after(self.delay(), lambda: deliver(answer))

        for _ in range(1 + self.chance(self.faults.repeated)):
            if not self.chance(self.faults.lost):
                self.after(self.delay(), arrive)
        self.after(timeout_s, lambda: deliver(None))
