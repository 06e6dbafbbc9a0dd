"""The machine's line to the service: it dials out, signs what it says, and believes no answer unverified."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

import httpx2
from pydantic import BaseModel

from xor.errors import InternalError, PeerError, XorError
from xor.machine.directory import Directory
from xor.signing import Envelope, seal_envelope
from xor.wire import http, tls
from xor.wire.messages import Announce, Approval, Failure, Inbox, Manifest, Offer, Poll, Progress, Refusal

MAX_ANSWER_BYTES = 64 * 2**20
CHUNK_BYTES = 2**20
TIMEOUT_S = 10.0
NOT_YET = (
    "job.too-early",
    "usage.stalled",
    "usage.broken-off",
    "resource.disk-full",
    "resource.log-unwritable",
    http.TOO_MANY,
)
"""Refusals that pass: the service has not heard yet what this machine has, or it has no room just now."""


class Backoff:
    """Pauses that double, with jitter: machines that lost the service together do not return together."""

    def __init__(self, first_s: float = 0.1, longest_s: float = 10.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    async def pause(self) -> None:
        await asyncio.sleep(self._next_s * random.uniform(0.5, 1.0))
        self._next_s = min(2 * self._next_s, self._longest_s)

    def reset(self) -> None:
        self._next_s = self._first_s


class Seen(NamedTuple):
    """What anybody sees of a service: its clock in seconds since 1970 UTC, and what it lacks to be ready."""

    clock: float
    lacks: tuple[str, ...]


class Link:
    """Requests to the service. Every method raises PeerError if it is away, else what it answers."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._player = directory.settings.player
        self._network = directory.settings.network
        self._client = httpx2.AsyncClient(
            base_url=directory.settings.service,
            # No proxies, certificates or passwords from the environment.
            trust_env=False,
            verify=tls.client_context(directory.trust.agreement.service_key, directory.settings.ca),
            timeout=TIMEOUT_S,
            limits=httpx2.Limits(keepalive_expiry=http.IDLE_S),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def look(self) -> Seen:
        """Whether the service is up and ready, and what time it has."""
        try:
            response = await self._client.get(http.READY)
            clock = parsedate_to_datetime(response.headers["Date"]).timestamp()
            lacks = response.json()["lacks"]
            return Seen(clock, tuple(str(each)[:40] for each in lacks[:8]))
        except httpx2.HTTPError:
            raise _away() from None
        except (KeyError, TypeError, ValueError, RecursionError):
            raise PeerError("what answers is no service of xor", code="peer.bad-answer") from None

    async def announce(self, document: Announce) -> None:
        """The heartbeat."""
        await self._post(http.ANNOUNCE, document)

    async def poll(self, after: int, wait_s: int, now: int, nonce: str) -> Inbox:
        """New entries of this machine's jobs; waits up to `wait_s` for some.

        Raises:
            AuthError: the answer is not the service's answer to this very poll.
        """
        document = Poll(
            network=self._network, player=self._player, after=after, wait_s=wait_s, at=now, nonce=nonce
        )
        body = await self._post(http.INBOX, document, timeout_s=wait_s + TIMEOUT_S)
        try:
            # Plain JSON may be ordered otherwise; what is signed is the payload inside.
            envelope = Envelope.from_json(json.loads(body))
        except (ValueError, RecursionError):
            raise PeerError(
                "the service answers a poll with something else", code="peer.bad-answer"
            ) from None
        inbox = self._directory.trust.inbox(envelope, nonce)
        if inbox.player != self._player:
            raise PeerError("the service answers another machine", code="peer.bad-answer")
        return inbox

    async def say(self, document: Approval | Refusal | Offer | Failure) -> None:
        """Posts a document to its job's log. The same document makes the same bytes: repeats are harmless."""
        await self._post(http.entries_path(document.plan), document)

    async def progress(self, document: Progress) -> None:
        await self._post(http.progress_path(document.plan), document)

    async def upload(self, manifest: Manifest, path: Path) -> None:
        """Uploads a stream with its signed manifest.

        Raises:
            OSError: the stream cannot be read.
        """
        envelope = seal_envelope(manifest, self._directory.key)
        request = self._client.build_request(
            "PUT",
            http.blob_path(manifest.plan, manifest.node, manifest.side),
            content=_chunks(path),
            headers={
                http.MANIFEST_HEADER: http.manifest_header(envelope),
                "Content-Type": http.STREAM_TYPE,
                "Content-Length": str(manifest.bytes),
            },
            timeout=httpx2.Timeout(60.0, connect=TIMEOUT_S),
        )
        await self._send(request)

    async def _post(self, path: str, document: BaseModel, timeout_s: float = TIMEOUT_S) -> bytes:
        envelope = seal_envelope(document, self._directory.key)
        request = self._client.build_request(
            "POST",
            path,
            content=envelope.to_bytes(),
            headers={"Content-Type": http.JSON_TYPE},
            timeout=httpx2.Timeout(timeout_s, connect=TIMEOUT_S),
        )
        return await self._send(request)

    async def _send(self, request: httpx2.Request) -> bytes:
        try:
            response = await self._client.send(request, stream=True)
            try:
                body = await _bounded(response)
            finally:
                await response.aclose()
        except httpx2.HTTPError:
            raise _away() from None
        if response.status_code >= 400:
            raise http.error_of(response.status_code, body)
        return body


def _away() -> PeerError:
    return PeerError("the service cannot be reached", code="peer.service-away", hint="is it running?")


def is_passing(error: XorError) -> bool:
    """Whether the same request may succeed later: the service is away, broken, or not that far yet."""
    return isinstance(error, PeerError | InternalError) or error.code in NOT_YET


async def _bounded(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise PeerError("the service's answer is too long", code="peer.bad-answer")
    return bytes(body)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
