"""Virtual time, one seed, and an event loop in which processes can die.

Everything in a simulation runs on one `VirtualLoop`: time jumps to the next timer, threads are replaced by
calls at some later moment, and what belongs to a dead process never runs again.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from xor.errors import PeerError, XorError
from xor.testing.simulation.members import EPOCH

Answer = TypeVar("Answer")


class Violation(AssertionError):
    """Something that must never happen has happened."""


class PowerCut(BaseException):
    """The process dies here. No code of it catches this, and none of it runs afterwards."""


@dataclass(frozen=True)
class Faults:
    """How much goes wrong, as probabilities for each occasion; times in virtual seconds.

    Args:
        lost, repeated, slow: of a message; slow ones come late enough to overtake others.
        cut: of a power cut before, in or after a durable write.
        full: of a disk without room for a durable write.
        lie: of an answer by the service that is a lie.
        partition: that a link between two members is down, for each half minute.
        succession: that, at a request, a second service is started over the database of the first.
        rollback: that a service comes back with an earlier copy of its database.
        restored: that a machine's disk is lost in a power cut, and its operator restores a backup.
        skew_s: how far a member's clock may be off.
        calm_s: when all of this ends.
    """

    lost: float = 0.05
    repeated: float = 0.1
    slow: float = 0.1
    cut: float = 0.02
    full: float = 0.01
    lie: float = 0.2
    partition: float = 0.05
    succession: float = 0.004
    rollback: float = 0.15
    restored: float = 0.15
    skew_s: int = 25
    calm_s: float = 80.0

    @classmethod
    def drawn(cls, chance: random.Random) -> Faults:
        """Some of them often, some seldom, some not at all: what never fails lets other faults go deep."""
        often = (0.0, 0.3, 1.0, 1.5)
        names = [
            each.name for each in fields(cls) if isinstance(each.default, float) and each.name != "calm_s"
        ]
        rates = {name: getattr(cls, name) * chance.choice(often) for name in names}
        return cls(**rates, skew_s=chance.choice((0, 5, 25)))


@dataclass(eq=False)
class Life:
    """One life of one process of a member."""

    member: str
    number: int
    is_alive: bool = True


LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs ready callbacks in order, then jumps to the next timer. Deterministic: no threads, no sockets."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._now = 0.0
        self._chance = chance
        self._selector = self

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Violation("nothing will ever happen again")
        self._now += timeout
        return []

    def _process_events(self, _events: list[Any]) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There are no threads to wake this one up from."""

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        return super().call_soon(_if_alive, callback, args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, _if_alive, callback, args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, _executor: None, func: Callable[..., Answer], *args: Any
    ) -> asyncio.Future[Answer]:
        """The thread's work is done in one piece, at some moment before the answer comes."""
        future: asyncio.Future[Answer] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except BaseException as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._chance.choice((0.0, 0.001, 0.05)), work)
        return future


def _if_alive(callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
    life = LIFE.get()
    if life is None or life.is_alive:
        callback(*args)


class World:
    """The only source of time and chance in a simulation: same seed, same history."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.loop = VirtualLoop(self.random)
        self.history: list[str] = []
        self.violations: list[str] = []
        self.nobody = contextvars.copy_context()
        """The context of what belongs to no process: the network, and whoever watches."""
        names = ("client", "service", "player-0", "player-1")
        self._skews = {name: self.random.randint(-faults.skew_s, faults.skew_s) for name in names}
        self._partitions: dict[tuple[frozenset[str], int], bool] = {}
        self._lives = 0

    # -- time ---------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return EPOCH + self.loop.time()

    @property
    def is_calm(self) -> bool:
        return self.loop.time() >= self.faults.calm_s

    def clock(self, member: str) -> int:
        """What a member's clock shows: it is set right when the faults end."""
        return int(self.now + (0 if self.is_calm else self._skews[member]))

    # -- chance -------------------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """Whether something goes wrong now."""
        return not self.is_calm and self.random.random() < probability

    def delay(self) -> float:
        if self.chance(self.faults.slow):
            return self.random.uniform(1.0, 40.0)
        return self.random.uniform(0.001, 0.5)

    def is_cut_off(self, *members: str) -> bool:
        """Whether the members cannot reach each other in this half minute."""
        key = (frozenset(members), int(self.loop.time() // 30))
        if key not in self._partitions:
            self._partitions[key] = self.chance(self.faults.partition)
        return self._partitions[key]

    # -- what is written down -----------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """One line of the history, for whoever reads why a seed failed."""
        self.history.append(f"{self.loop.time():9.3f}  {text}")

    def must(self, holds: bool, claim: str) -> None:
        """Notes a violation if something does not hold. No exception: the code under test might catch it."""
        if not holds:
            self.note(f"VIOLATION: {claim}")
            self.violations.append(claim)

    # -- processes ----------------------------------------------------------------------------------------

    def born(self, member: str) -> tuple[Life, contextvars.Context]:
        """A new process of a member, and the context in which its tasks run."""
        self._lives += 1
        life = Life(member, self._lives)
        context = self.nobody.copy()
        context.run(LIFE.set, life)
        return life, context

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Does `action` that much later, whoever lives then."""
        self.loop.call_later(seconds, action, context=self.nobody)

    # -- network ------------------------------------------------------------------------------------------

    async def ask(
        self, sender: str, receive: Callable[[], Awaitable[Answer] | None], timeout_s: float
    ) -> Answer:
        """A request to the service: it, or its answer, may be lost or late, and it may arrive twice.

        Args:
            receive: called for each arrival; None if nobody is there.

        Raises:
            PeerError: no answer within the time; else what the service answers.
        """
        answer: asyncio.Future[Answer] = self.loop.create_future()

        def deliver(task: asyncio.Future[Answer]) -> None:
            if not answer.done():
                if (error := task.exception()) is not None:
                    self.must(isinstance(error, XorError), f"the service breaks: {error!r}")
                    answer.set_exception(error)
                else:
                    answer.set_result(task.result())

        def arrive() -> None:
            task = receive()
            if task is not None:
                assert isinstance(task, asyncio.Future)
                task.add_done_callback(answered, context=self.nobody)

        def answered(task: asyncio.Future[Answer]) -> None:
            if task.cancelled() or isinstance(task.exception(), PowerCut):
                return
            if not self.chance(self.faults.lost) and not self.is_cut_off(sender, "service"):
                self.later(self.delay(), lambda: deliver(task))

        for _ in range(1 + self.chance(self.faults.repeated)):
            if not self.chance(self.faults.lost) and not self.is_cut_off(sender, "service"):
                self.later(self.delay(), arrive)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise PeerError("the service cannot be reached", code="peer.service-away") from None
