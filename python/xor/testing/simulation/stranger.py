"""Somebody on the network who sends forgeries, and again what others have sent; and a dishonest analyst."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2

from xor.errors import XorError
from xor.signing import Envelope
from xor.testing.simulation.liar import LIARS_KEY, Liar
from xor.testing.simulation.members import ASKED, asked, signed_plan, with_other_bounds
from xor.testing.simulation.service import SimulatedService
from xor.testing.simulation.world import World
from xor.wire import http
from xor.wire.messages import Announce, Kind


class Stranger:
    """Whatever the service takes from it shows in the log, or in the nonces that were answered."""

    def __init__(self, world: World, service: SimulatedService, liar: Liar) -> None:
        self.world = world
        self.service = service
        self.liar = liar

    async def live(self) -> None:
        while not self.world.is_calm:
            await asyncio.sleep(self.world.random.uniform(1.0, 12.0))
            try:
                await self.world.random.choice(
                    (
                        self._forge,
                        self._replay,
                        self._replay,
                        self._ask,
                        self._misplace,
                        self._cheat,
                    )
                )()
            except XorError as error:
                self.world.note(f"a stranger is refused: {error.code}")

    async def _forge(self) -> None:
        forged = self.liar.forgery()
        if forged is not None and forged.kind is not Kind.MANIFEST:
            self.world.note(f"a stranger posts a {forged.kind} of {forged.job[:6]}")
            await self._post(http.entries_path(forged.job), forged.envelope.encode())

    async def _replay(self) -> None:
        """An old poll or announcement, as it was or under a new nonce that nobody has signed."""
        message = self.liar.old_message()
        if message is None:
            return
        if self.world.chance(0.3):
            old = message.payload[message.payload.index(b'"nonce":"') + 9 :][:64]
            payload = message.payload.replace(old, self.world.random.randbytes(32).hex().encode())
            message = Envelope(message.payload_type, payload, message.signatures)
            self.service.forged.add(payload)
        self.world.note("a stranger repeats a message of a machine")
        path = http.ANNOUNCE if message.payload_type == Announce.payload_type else http.INBOX
        await self._post(path, message.to_bytes())

    async def _ask(self) -> None:
        """A plan in the analyst's name."""
        plan = asked(self.world.random, self.world.random.randrange(ASKED), self.world.now)
        self.world.note("a stranger submits a plan")
        await self.service.submit(signed_plan(plan, LIARS_KEY))

    async def _misplace(self) -> None:
        """What somebody really said about one job, posted to another one."""
        said = [each for each in self.liar.stock if each.kind in (Kind.APPROVAL, Kind.OFFER, Kind.FAILURE)]
        if said:
            one, job = self.world.random.choice(said), self.liar.stock[-1].job
            self.world.note(f"a stranger posts a {one.kind} of {one.job[:6]} to {job[:6]}")
            if job != one.job:
                await self._post(http.entries_path(job), one.envelope.encode())

    async def _cheat(self) -> None:
        """A dishonest analyst signs what it may not: other bounds than the owner's, another agreement."""
        plan = asked(self.world.random, self.world.random.randrange(ASKED), self.world.now)
        forged = self.world.random.choice((with_other_bounds(plan), replace(plan, agreement="ab" * 32)))
        self.world.note("an analyst submits a plan that is not in order")
        await self.service.submit(signed_plan(forged))

    async def _post(self, path: str, body: bytes) -> None:
        await self.service.post("stranger", httpx2.Request("POST", f"http://127.0.0.1:1{path}"), body)
