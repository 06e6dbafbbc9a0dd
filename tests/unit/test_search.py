"""The search for planted values finds each of them in every encoding, wherever it lies, and nothing else."""

import base64
import random
import subprocess
import sys
from pathlib import Path

import pytest

from xor.testing.search import ENCODINGS, Search, new_value

CHANCE = random.Random(5)
VALUES = [new_value(CHANCE) for _ in range(50)]
SEARCH = Search(VALUES)


@pytest.mark.parametrize("value", VALUES[:5])
@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz", CHANCE.randbytes(40)], ids=len)
def test_every_encoding_is_found_whatever_stands_around(value: str, before: bytes) -> None:
    whole = before + value.encode() + CHANCE.randbytes(7)
    shown = {
        "utf-8": whole,
        "utf-16-le": before + value.encode("utf-16-le"),
        "utf-16-be": before + value.encode("utf-16-be"),
        "hex": whole.hex().encode(),
        "HEX": whole.hex().upper().encode(),
    }
    for name, content in shown.items():
        assert SEARCH.in_bytes(content) == {(value, name)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert {found for found, _ in SEARCH.in_bytes(encode(whole))} == {value}
        assert {found for found, _ in SEARCH.in_bytes(encode(whole).rstrip(b"="))} == {value}


def test_what_was_not_planted_is_not_found() -> None:
    other = new_value(random.Random(6))
    for encode in ENCODINGS.values():
        assert SEARCH.in_bytes(encode(other)) == set()
        assert SEARCH.in_bytes(encode(VALUES[0])[:-2] + b"!!") == set()


def test_a_value_across_two_pieces_is_found() -> None:
    content = b"." * 100 + VALUES[0].encode() + b"." * 100
    for cut in range(90, 130):
        assert SEARCH.in_chunks([content[:cut], content[cut:]]) == {(VALUES[0], "utf-8")}


def test_the_memory_of_a_process_and_its_deleted_files_are_searched(tmp_path: Path) -> None:
    code = (
        "import os, sys, tempfile\n"
        "held, hidden = sys.stdin.readline().split()\n"
        "file = tempfile.TemporaryFile()\n"
        "file.write(hidden.encode()); file.flush(); del hidden\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{VALUES[1]} {VALUES[2]}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        assert {(VALUES[1], "utf-8"), (VALUES[2], "utf-8")} <= SEARCH.in_process(process.pid)
    finally:
        process.kill()
        process.communicate()
