"""Sealed streams in a folder, one for each manifest. Ciphertext only; a file there is whole and on disk."""

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import IO

from xor.errors import ResourceError, UsageError, XorError
from xor.wire.messages import Manifest

BUFFER_BYTES = 2**20
STALL_S = 60
"""An upload that sends nothing for so long is broken off."""


class Blobs:
    """The folder of sealed streams.

    Security: names are made of hex ids and numbers of verified documents only, never of text from outside.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._partial = root / "partial"

    def open(self) -> None:
        """Makes the folder and removes what earlier uploads left unfinished."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(mode=0o700)

    def path(self, job: str, digest: str) -> Path:
        """Where the stream of a manifest is; `digest` is that of the manifest, see `core.digest`.

        Two manifests that contradict each other name two files: a late one cannot replace what is logged.
        """
        return self._root / job / digest

    def jobs(self) -> frozenset[str]:
        """The jobs of which there are streams."""
        return frozenset(each.name for each in self._root.iterdir() if each != self._partial)

    def discard(self, jobs: Iterable[str]) -> None:
        """Deletes all streams of these jobs."""
        for job in jobs:
            shutil.rmtree(self._root / job, ignore_errors=True)

    async def receive(self, manifest: Manifest, path: Path, body: AsyncIterable[bytes]) -> None:
        """Stores the stream that a verified manifest announces; afterwards it is whole and durable.

        The same stream may arrive again, also at the same time: the same bytes replace each other.

        Raises:
            UsageError: length or hash differ from the manifest's. ResourceError: the disk is full.
        """
        partial = self._partial / secrets.token_hex(16)
        try:
            with partial.open("xb") as file:
                await _copy(manifest, body, file)
            await asyncio.to_thread(self._keep, partial, path)
        except OSError as error:
            raise _unwritable(error) from None
        finally:
            partial.unlink(missing_ok=True)

    def _keep(self, partial: Path, path: Path) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(self._root)
        partial.rename(path)
        _sync_folder(path.parent)


async def _copy(manifest: Manifest, body: AsyncIterable[bytes], file: IO[bytes]) -> None:
    digest = hashlib.sha256()
    length = 0
    buffer = bytearray()

    def flush() -> None:
        digest.update(buffer)
        file.write(buffer)
        buffer.clear()

    async for piece in unstalled(body):
        length += len(piece)
        if length > manifest.bytes:
            raise _mismatch(manifest, "it is longer")
        buffer += piece
        if len(buffer) >= BUFFER_BYTES:
            await asyncio.to_thread(flush)
    flush()
    if length < manifest.bytes:
        raise _mismatch(manifest, "it is shorter")
    if digest.hexdigest() != manifest.sha256:
        raise _mismatch(manifest, "its hash is another")
    file.flush()
    await asyncio.to_thread(os.fsync, file.fileno())


async def unstalled(body: AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    """The pieces of a body.

    Raises:
        UsageError: nothing came for `STALL_S` seconds.
    """
    pieces = aiter(body)
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise UsageError("the upload has stalled", code="usage.stalled", hint="send it again.") from None
        yield piece


def _mismatch(manifest: Manifest, why: str) -> XorError:
    return UsageError(
        f"the stream {manifest.node}/{manifest.side} is not the one of its manifest: {why}",
        code="usage.wrong-stream",
        hint="send the very bytes that were signed.",
        job_id=manifest.plan,
        player=manifest.player,
    )


def _unwritable(error: OSError) -> XorError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return ResourceError(
        "the service's disk is full" if is_full else "the service cannot store a stream",
        code="resource.disk-full" if is_full else "resource.disk-unwritable",
        hint="free some disk space at the service, then upload again.",
    )


def _sync_folder(folder: Path) -> None:
    """A renamed file survives a power cut only when its folder is on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
