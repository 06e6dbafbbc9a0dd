"""The simulated analyst: the production state machine of a run, over the simulated network."""

from __future__ import annotations

import hashlib
from functools import partial

from xor.errors import XorError
from xor.session import core
from xor.signing import Envelope
from xor.testing.simulator.service import SimulatedService
from xor.testing.simulator.world import World
from xor.wire.messages import JobView
from xor.wire.trust import Trust

PATIENCE_S = 900


class SimulatedRun:
    """One submitted plan as its analyst follows it. Ends with `streams` or with `error`."""

    def __init__(self, world: World, service: SimulatedService, trust: Trust, envelope: Envelope) -> None:
        self.world = world
        self.service = service
        self.run = core.begin(trust, envelope, deadline=world.now + PATIENCE_S)
        self.streams: dict[core.StreamKey, bytes] = {}
        self.error: XorError | None = None
        self.is_released = False

    @property
    def is_over(self) -> bool:
        return self.is_released or self.error is not None

    def start(self) -> None:
        self._take(core.Started())

    def _take(self, event: core.Event) -> None:
        self.run, effects = core.on_event(self.run, event)
        for effect in effects:
            match effect:
                case core.Finish():
                    self.is_released = True
                    self.world.note(f"client has the result of {self.run.job[:6]}")
                case core.Raise(error):
                    self.error = error
                    self.world.note(f"client gives up {self.run.job[:6]}: {error.code}")
                case _:
                    self.world.after(effect.delay_s + 0.5, partial(self._perform, effect))

    def _perform(self, effect: core.Submit | core.Poll | core.Download) -> None:
        self._take(core.Ticked(self.world.now))
        if self.is_over:
            return
        match effect:
            case core.Submit(envelope):
                self.world.request(lambda: self.service.submit(envelope), self._answered)
            case core.Poll(after):
                self.world.request(lambda: self.service.view(self.run.job, after), self._answered)
            case core.Download(key, _):
                self.world.request(
                    lambda: self.service.blob(self.run.job, *key), lambda blob: self._downloaded(key, blob)
                )

    def _answered(self, answer: JobView | XorError | None) -> None:
        match answer:
            case None:
                self._take(core.Unanswered(self.world.now))
            case XorError():
                self._take(core.Refused(answer))
            case _:
                self._take(core.Viewed(answer))

    def _downloaded(self, key: core.StreamKey, blob: bytes | None) -> None:
        if blob is None:
            self._take(core.Unanswered(self.world.now))
            return
        self.streams[key] = blob
        self._take(core.Downloaded(key, hashlib.sha256(blob).hexdigest(), len(blob)))
