"""What waits to reach the service: documents in order, streams side by side, each until it is taken."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from xor.errors import XorError
from xor.machine.core import kind_of
from xor.machine.events import Delivered, Event, Failed, Uploaded
from xor.machine.link import Backoff, Link, is_passing
from xor.wire.messages import Approval, Failure, Manifest, Offer, Refusal

Document = Approval | Refusal | Offer | Failure
Answer = Callable[[str, Event], None]
Warn = Callable[[str, XorError], None]

REFUSED = Failed(
    kind="PeerError",
    code="peer.stream-refused",
    message="the service does not take a stream",
    hint="the log of the machine that sent it says why.",
)
"""Fixed words: a machine signs its failures, and nothing that the service says is its own."""


class Outbox:
    """Sends until the service takes it or refuses for good. Adding what is already waiting changes nothing.

    Args:
        answer: called with what became of a document or stream.
        warn: called when the service refuses something for good.
    """

    def __init__(self, link: Link, answer: Answer, warn: Warn) -> None:
        self._link = link
        self._answer = answer
        self._warn = warn
        self._documents: dict[str, list[Document]] = {}
        self._tasks: dict[tuple[object, ...], asyncio.Task[None]] = {}

    def add(self, document: Document) -> None:
        waiting = self._documents.setdefault(document.plan, [])
        if document not in waiting:
            waiting.append(document)
        self._start(("say", document.plan), lambda: self._say_all(document.plan))

    def upload(self, manifest: Manifest, path: Path) -> None:
        key = ("upload", manifest.plan, manifest.node, manifest.side)
        self._start(key, lambda: self._upload(manifest, path))

    def forget(self, job: str) -> None:
        """Drops everything of a job that is not a last word: it ended."""
        for key in [each for each in self._tasks if each[:2] == ("upload", job)]:
            self._tasks[key].cancel()
        self._documents[job] = [
            each for each in self._documents.get(job, []) if isinstance(each, Failure | Refusal)
        ]

    async def flush(self, timeout_s: float) -> None:
        """Waits a moment for what is on its way."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _start(self, key: tuple[object, ...], work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if key not in self._tasks:
            task = asyncio.create_task(work())
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))

    async def _say_all(self, job: str) -> None:
        """In order: an offer before the approval that it rests on would be too early."""
        backoff = Backoff()
        while waiting := self._documents.get(job):
            document = waiting[0]
            try:
                await self._link.say(document)
            except XorError as error:
                if is_passing(error):
                    await backoff.pause()
                    continue
                self._warn(job, error)
            if document in self._documents.get(job, []):
                self._documents[job].remove(document)
            self._answer(job, Delivered(kind=kind_of(document)))
        self._documents.pop(job, None)

    async def _upload(self, manifest: Manifest, path: Path) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._link.upload(manifest, path)
            except OSError:
                self._answer(
                    manifest.plan,
                    Failed(kind="InternalError", code="internal.lost-stream", message="a stream is gone"),
                )
                return
            except XorError as error:
                if is_passing(error):
                    await backoff.pause()
                    continue
                self._warn(manifest.plan, error)
                self._answer(manifest.plan, REFUSED)
                return
            self._answer(manifest.plan, Uploaded(node=manifest.node, side=manifest.side))
            return
