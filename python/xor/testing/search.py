"""Finds planted values in memory, files and traffic, in every encoding in which they might lie there.

All planted values begin with `MARK`. So each encoding has a fixed prefix that is looked for first; what
follows it is then compared with all values, exactly. In base64 a value can begin at three places of a group;
what its neighbours change at its ends is left out.
"""

from __future__ import annotations

import base64
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MARK = "CNRY"
PAGE = os.sysconf("SC_PAGE_SIZE")
TAIL_CHARS = 16
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CHUNK = 16 * 2**20
_OVERLAP = 256
"""Longer than any value in any encoding."""

_NO_MEMORY = ("[vvar]", "[vsyscall]", "[vvar_vclock]")


def new_value(chance: random.Random) -> str:
    return MARK + "".join(chance.choices(_ALPHABET, k=TAIL_CHARS))


@dataclass(frozen=True)
class _Encoding:
    name: str
    prefix: bytes
    values: Mapping[bytes, str]
    length: int


class Search:
    """Searches for many values at once.

    Args:
        values: made by `new_value`.
    """

    def __init__(self, values: Iterable[str]) -> None:
        known = tuple(values)
        self._encodings = [_encoding(name, known, encode) for name, encode in ENCODINGS.items()]
        self.bytes_searched = 0

    def in_bytes(self, content: bytes) -> set[tuple[str, str]]:
        """The values in some bytes, each with the name of the encoding."""
        found = set()
        self.bytes_searched += len(content)
        for each in self._encodings:
            at = content.find(each.prefix)
            while at >= 0:
                value = each.values.get(content[at : at + each.length])
                if value is not None:
                    found.add((value, each.name))
                at = content.find(each.prefix, at + 1)
        return found

    def in_chunks(self, chunks: Iterable[bytes]) -> set[tuple[str, str]]:
        """The same in pieces of one stream."""
        found, before = set[tuple[str, str]](), b""
        for chunk in chunks:
            found |= self.in_bytes(before + chunk)
            before = chunk[-_OVERLAP:]
        return found

    def in_file(self, path: Path) -> set[tuple[str, str]]:
        """Values in a file; none if it is gone by now."""
        try:
            with path.open("rb") as file:
                return self.in_chunks(iter(lambda: file.read(_CHUNK), b""))
        except OSError:
            return set()

    def in_folder(self, folder: Path) -> set[tuple[str, str]]:
        """Values in all files below a folder, and in their names."""
        found = set()
        for path in folder.rglob("*"):
            found |= self.in_bytes(str(path).encode())
            if path.is_file() and not path.is_symlink():
                found |= self.in_file(path)
        return found

    def in_process(self, pid: int) -> set[tuple[str, str]]:
        """Values in the memory of a process and in files that it holds open, deleted ones too.

        The process is stopped meanwhile: nothing moves to where the search has been already.
        """
        found = set()
        with _stopped(pid):
            for start, end in _regions(pid):
                for first, last in _held(pid, start, end):
                    found |= self.in_chunks(_memory(pid, first, last))
            for link in Path(f"/proc/{pid}/fd").glob("*"):
                if link.is_file():
                    found |= self.in_file(link)
        return found


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        yield
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGSTOP)
        yield
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGCONT)
        os.close(process)


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        bounds, rights, *_ = line.split()
        start, end = (int(each, 16) for each in bounds.split("-"))
        # What was only mapped from a library, without a right to write, holds what the library's file holds.
        is_library = ".so" in line and rights.endswith("p") and "w" not in rights
        if "r" in rights and not is_library and not line.endswith(_NO_MEMORY):
            yield start, end


def _held(pid: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a region that are in memory or swapped out; most of what is reserved was never touched."""
    try:
        with Path(f"/proc/{pid}/pagemap").open("rb") as pages:
            pages.seek(start // PAGE * 8)
            entries = np.frombuffer(pages.read((end - start) // PAGE * 8), np.uint64)
    except OSError:
        return
    is_held = np.zeros(len(entries) + 2, np.int8)
    is_held[1:-1] = entries >> np.uint64(62) != 0
    turns = np.flatnonzero(np.diff(is_held)).reshape(-1, 2)
    yield from ((start + int(first) * PAGE, start + int(last) * PAGE) for first, last in turns)


def _memory(pid: int, start: int, end: int) -> Iterator[bytes]:
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return
    try:
        while start < end:
            piece = os.pread(descriptor, min(_CHUNK, end - start), start)
            if not piece:
                return
            yield piece
            start += len(piece)
    except OSError:
        return  # unmapped meanwhile, or the process is gone
    finally:
        os.close(descriptor)


def _encoding(name: str, values: Iterable[str], encode: Callable[[str], bytes]) -> _Encoding:
    encoded = {encode(value): value for value in values}
    samples = [encode(MARK + each * TAIL_CHARS) for each in _ALPHABET]
    same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*samples, strict=True))
    # Memory is mostly zeros, and a search that looks at the last byte first should not find it everywhere.
    prefix = bytes(column[0] for column in same).rstrip(b"\0")
    (length,) = {len(each) for each in encoded} or {0}
    return _Encoding(name, prefix, encoded, length)


def _base64(value: str, shift: int) -> bytes:
    """What is the same of the value's base64, whatever stands before and behind it."""
    whole = base64.b64encode(b"\0" * shift + value.encode() + b"\0" * 2)
    return whole[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]


ENCODINGS: Mapping[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-16-le": lambda value: value.encode("utf-16-le"),
    "utf-16-be": lambda value: value.encode("utf-16-be"),
    "hex": lambda value: value.encode().hex().encode(),
    "HEX": lambda value: value.encode().hex().upper().encode(),
    "base64": lambda value: _base64(value, 0),
    "base64+1": lambda value: _base64(value, 1),
    "base64+2": lambda value: _base64(value, 2),
}
