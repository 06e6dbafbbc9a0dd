"""Follows a job to its end: performs what the state machine asks for, on a clock and in a folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xor.errors import XorError
from xor.session import core
from xor.session.transport import NoAnswer, Transport
from xor.wire.messages import JobView

Request = core.Submit | core.Poll | core.Download


class Clock(Protocol):
    """Seconds that never run backwards, and waiting."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


class Watcher(Protocol):
    """Shows a person how far a job is. Everything in a view beyond its entries is the service's word."""

    def on_state(self, run: core.Run, view: JobView | None) -> None: ...

    def on_bytes(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Follower:
    """The shell around `session.core`: one thread, one job.

    Args:
        folder: where streams are stored, see `stream_path`.
    """

    transport: Transport
    clock: Clock
    watcher: Watcher
    folder: Path

    def submit(self, run: core.Run) -> core.Run:
        """Repeats the submission until the service has answered it.

        Raises:
            XorError: the service refuses the plan, or does not answer.
        """
        return self._advance(run, lambda each: each.phase is not core.Phase.SUBMITTING)

    def follow(self, run: core.Run) -> core.Run:
        """Waits until all streams are here.

        Raises:
            XorError: whatever ended the job or the waiting.
        """
        return self._advance(run, lambda each: each.phase is core.Phase.DONE)

    def _advance(self, run: core.Run, is_far_enough: Callable[[core.Run], bool]) -> core.Run:
        run, effects = core.on_event(run, core.Started())
        while True:
            for effect in effects:
                if isinstance(effect, core.Raise):
                    raise effect.error
            self.watcher.on_state(run, None)
            if is_far_enough(run):
                return run
            (request,) = (effect for effect in effects if not isinstance(effect, core.Finish | core.Raise))
            run, effects = self._request(run, request)

    def _request(self, run: core.Run, request: Request) -> tuple[core.Run, tuple[core.Effect, ...]]:
        self.clock.sleep(request.delay_s)
        run, ended = core.on_event(run, core.Ticked(self.clock.now()))
        if ended:
            return run, ended
        event = self._perform(run, request)
        if isinstance(event, core.Viewed):
            self.watcher.on_state(run, event.view)
        return core.on_event(run, event)

    def _perform(self, run: core.Run, request: Request) -> core.Event:
        try:
            match request:
                case core.Submit(envelope):
                    return core.Viewed(self.transport.submit(run.plan.network, envelope))
                case core.Poll(after, wait_s):
                    left_s = max(0, int(run.deadline - self.clock.now()) + 1)
                    return core.Viewed(
                        self.transport.job(run.plan.network, run.job, after, min(wait_s, left_s))
                    )
                case core.Download(key, size):
                    return self._download(run, key, size)
        except NoAnswer:
            return core.Unanswered(self.clock.now())
        except XorError as error:
            return core.Refused(error)

    def _download(self, run: core.Run, key: core.StreamKey, size: int) -> core.Event:
        total = sum(manifest.bytes for manifest in run.manifests.values())
        before = sum(run.manifests[stored].bytes for stored in run.stored)

        def progress(done: int) -> None:
            self.watcher.on_bytes(before + done, total)

        path = stream_path(self.folder, key)
        return core.Downloaded(
            key,
            *self.transport.download(run.plan.network, run.job, key, path, size=size, progress=progress),
        )


def stream_path(folder: Path, key: core.StreamKey) -> Path:
    """Where the stream of a node and side is stored."""
    return folder / f"{key[0]}-{key[1]}"
