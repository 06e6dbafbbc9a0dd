"""The analyst: the production state machine of a run, and the production checks of a network."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib

from xor.errors import PeerError, XorError
from xor.session import core
from xor.session.known import Known, verify_network
from xor.session.profile import Profile
from xor.signing import Envelope, seal_envelope
from xor.testing.simulation.members import ANALYST, NETWORK, agreement, asked, entries, signed_plan, trust
from xor.testing.simulation.service import SimulatedService
from xor.testing.simulation.world import World
from xor.testing.three_banks import unsafe_key
from xor.wire.messages import Cancel, Entry, Kind
from xor.wire.trust import LogDocument, Trust

PATIENCE_S = 400.0
LOOKING_S = 40.0
"""How long an analyst looks for datasets; one who knows them already asks all the same."""
CANCELLED = 0.1


class WatchedTrust(Trust):
    """Remembers every entry that was believed."""

    def __init__(self) -> None:
        super().__init__(agreement())
        self.believed: list[tuple[str, Kind, str]] = []

    def read(self, entry: Entry) -> LogDocument:
        document = super().read(entry)
        payload = Envelope.from_bytes(entry.envelope.encode()).payload.decode()
        self.believed.append((entry.job, entry.kind, payload))
        return document


class SimulatedRun:
    """One plan, from the catalogue to the result. Ends with `streams` or with `error`."""

    def __init__(self, world: World, service: SimulatedService, choice: int, start_s: float) -> None:
        self.world = world
        self.service = service
        self.choice = choice
        self.trust = WatchedTrust()
        self.run: core.Run | None = None
        self.known: Known | None = None
        self.streams: dict[core.StreamKey, bytes] = {}
        self.error: XorError | None = None
        self.is_released = False
        self._start_s = start_s

    @property
    def is_over(self) -> bool:
        return self.is_released or self.error is not None

    async def live(self) -> None:
        await asyncio.sleep(self._start_s)
        self.known = await self._catalogue()
        plan = asked(self.world.random, self.choice, self.world.now)
        envelope = signed_plan(plan)
        self.run = core.begin(self.trust, envelope, self.world.loop.time() + PATIENCE_S)
        self.world.note(f"client asks for {self.run.job[:6]}, choice {self.choice}")
        if self.world.chance(CANCELLED):
            self.world.loop.create_task(self._cancel(self.run.job))
        event: core.Event = core.Started()
        while (request := self._take(event)) is not None:
            await asyncio.sleep(request.delay_s)
            event = core.Ticked(self.world.loop.time())
            if self._take(event) is None and self.is_over:
                return
            event = await self._perform(request)
            await self._be_impatient()

    async def _catalogue(self) -> Known | None:
        """The network as it is shown, if it is shown truly while this analyst has patience."""
        profile = Profile("127.0.0.1", 1, networks={NETWORK: trust().hash})
        until = self.world.loop.time() + LOOKING_S
        while self.world.loop.time() < until:
            try:
                known = verify_network(
                    await self.service.network(), NETWORK, profile, self.world.clock("client")
                )
            except XorError as error:
                self.world.note(f"client does not believe the catalogue: {error.code}")
            else:
                if known.entries.keys() == entries().keys():
                    return known
            await asyncio.sleep(3.0)
        return None

    def _take(self, event: core.Event) -> core.Submit | core.Poll | core.Download | None:
        assert self.run is not None
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
                    return effect
        return None

    async def _perform(self, request: core.Submit | core.Poll | core.Download) -> core.Event:
        assert self.run is not None
        try:
            match request:
                case core.Submit(envelope):
                    return core.Viewed(await self.service.submit(envelope))
                case core.Poll(after, wait_s):
                    return core.Viewed(await self.service.view(self.run.job, after, wait_s))
                case core.Download(key, _):
                    blob = await self.service.stream(self.run.job, key)
        except PeerError:
            return core.Unanswered(self.world.loop.time())
        except XorError as error:
            return core.Refused(error)
        self.streams[key] = blob
        return core.Downloaded(key, hashlib.sha256(blob).hexdigest(), len(blob))

    async def _be_impatient(self) -> None:
        """Asks for a stream that is there before the others are: the service must not hand it out."""
        assert self.run is not None
        if self.run.manifests and not self.run.is_complete and self.world.chance(0.5):
            with contextlib.suppress(XorError):
                await self.service.stream(self.run.job, min(self.run.manifests))

    async def _cancel(self, job: str) -> None:
        await asyncio.sleep(self.world.random.uniform(0.0, 20.0))
        envelope = seal_envelope(Cancel(network=NETWORK, plan=job, analyst=ANALYST), unsafe_key(ANALYST))
        self.world.note(f"client cancels {job[:6]}")
        try:
            await self.service.cancel(job, envelope)
        except XorError as error:
            self.world.note(f"the cancellation is not taken: {error.code}")
