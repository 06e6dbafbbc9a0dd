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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MARK = "CNRY"
TAIL_CHARS = 16
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CHUNK = 16 * 2**20
_OVERLAP = 256
"""Longer than any value in any encoding."""


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
        """Values in the memory of a process and in files that it holds open, deleted ones too."""
        found = set()
        for start, end in _regions(pid):
            found |= self.in_chunks(_memory(pid, start, end))
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            if link.is_file():
                found |= self.in_file(link)
        return found


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        bounds, rights, *_ = line.split()
        start, end = (int(each, 16) for each in bounds.split("-"))
        if "r" in rights and not line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
            yield start, end


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
    prefix = bytes(column[0] for column in same)
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
