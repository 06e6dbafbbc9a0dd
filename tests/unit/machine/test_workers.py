"""Workers: how many at once, for how long, and what becomes of a spare that has died."""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from xor.machine import workers as module
from xor.machine.orders import Confined, Order, Word
from xor.machine.workers import Workers

OBEDIENT = 'print(\'{"says":"warm"}\', flush=True); input(); '
SPEAKS = OBEDIENT + 'print(\'{"says":"confined","level":"partial"}\', flush=True); '
WORKS_ON = SPEAKS + "input()"
ENDS = SPEAKS
DIES_UNHEARD = OBEDIENT


def order(letter: str) -> Order:
    return Order(
        plan_hash=letter * 64,
        plan="",
        agreement="",
        player="player-1",
        sources=(),
        directory="",
        memory_bytes=2**33,
        connect_timeout_s=1,
        stall_timeout_s=1,
        job_timeout_s=1,
    )


class Scene:
    """Workers whose processes run the given programs, one after the other; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
        self.programs = list(programs)
        self.spawned: list[asyncio.subprocess.Process] = []
        self.words: list[tuple[str, Word]] = []
        self.failures: list[tuple[str, str]] = []
        self.news = asyncio.Event()
        monkeypatch.setattr(module, "_spawn", self.spawn)

    def workers(self, max_jobs: int = 4, job_timeout_s: float = 60) -> Workers:
        return Workers(self.on_word, self.on_failure, max_jobs=max_jobs, job_timeout_s=job_timeout_s)

    async def spawn(self) -> module._Worker:
        program = self.programs.pop(0) if len(self.programs) > 1 else self.programs[0]
        if not program:
            raise OSError(12, "no memory")
        ours, theirs = socket.socketpair()
        theirs.close()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", program, stdin=pipe, stdout=pipe
        )
        self.spawned.append(process)
        return module._Worker(process, ours)

    def on_word(self, job: str, word: Word) -> None:
        self.words.append((job[0], word))
        self.news.set()

    def on_failure(self, job: str, failure: module.Failed) -> None:
        self.failures.append((job[0], failure.code))
        self.news.set()

    def begun(self) -> list[str]:
        return [job for job, word in self.words if isinstance(word, Confined)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()


def played(play: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await play()

    asyncio.run(run())


def test_jobs_beyond_the_limit_wait_in_order_and_run_when_others_have_ended(monkeypatch, caplog):
    async def play() -> None:
        scene = Scene(monkeypatch, WORKS_ON)
        workers = scene.workers(max_jobs=2)
        caplog.set_level("INFO", "xor")
        for letter in "abcd":
            await workers.start(order(letter), frozenset())
        await scene.until(lambda: len(scene.begun()) == 2)
        assert sorted(scene.begun()) == ["a", "b"]
        assert caplog.text.count("waits for its turn") == 2
        workers.kill("c" * 64)
        workers.kill("a" * 64)
        await scene.until(lambda: len(scene.begun()) == 3)
        assert scene.begun()[-1] == "d"
        await workers.close()

    played(play)


def test_a_worker_that_runs_too_long_is_reported_and_can_be_killed(monkeypatch):
    async def play() -> None:
        scene = Scene(monkeypatch, WORKS_ON)
        workers = scene.workers(job_timeout_s=0.2)
        await workers.start(order("a"), frozenset())
        await scene.until(lambda: bool(scene.failures))
        assert scene.failures == [("a", "resource.time")]
        workers.kill("a" * 64)
        await workers.ended("a" * 64)
        await workers.close()

    played(play)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_spare_that_was_killed_costs_no_job(monkeypatch, is_noticed):
    async def play() -> None:
        scene = Scene(monkeypatch, WORKS_ON)
        workers = scene.workers()
        await workers.keep_spare()
        scene.spawned[0].kill()
        if is_noticed:
            await scene.spawned[0].wait()
        await workers.start(order("a"), frozenset())
        await scene.until(lambda: bool(scene.begun()))
        assert len(scene.spawned) == 2
        assert not scene.failures
        await workers.close()

    played(play)


def test_a_second_worker_is_tried_once_and_only_if_the_first_said_nothing(monkeypatch):
    async def play(first: str, spawned: int) -> None:
        scene = Scene(monkeypatch, first)
        workers = scene.workers()
        await workers.start(order("a"), frozenset())
        await scene.until(lambda: bool(scene.failures))
        assert scene.failures == [("a", "internal.worker-died")]
        assert len(scene.spawned) == spawned
        await workers.close()

    played(lambda: play(DIES_UNHEARD, 2))
    played(lambda: play(ENDS, 1))
    played(lambda: play("print('nonsense')", 1))


def test_a_worker_that_cannot_be_started_fails_its_job_only(monkeypatch):
    async def play() -> None:
        scene = Scene(monkeypatch, "", WORKS_ON)
        workers = scene.workers()
        await workers.start(order("a"), frozenset())
        await workers.start(order("b"), frozenset())
        await scene.until(lambda: scene.begun() == ["b"])
        assert scene.failures == [("a", "resource.no-worker")]
        await workers.close()

    played(play)


def test_the_real_spare_is_warm_and_takes_its_order(monkeypatch, tmp_path: Path):
    """Not the fake of this file: the true process, which refuses an order whose plan is not one."""

    async def play() -> None:
        scene = Scene(monkeypatch, WORKS_ON)
        monkeypatch.undo()
        workers = scene.workers()
        await workers.keep_spare()
        given = order("a").model_copy(update={"directory": str(tmp_path)})
        await workers.start(given, frozenset())
        await scene.until(lambda: bool(scene.failures))
        assert [word.says for _, word in scene.words] == ["warm", "confined", "broke"]
        await workers.close()

    played(play)
