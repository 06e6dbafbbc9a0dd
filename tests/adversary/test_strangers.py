"""What a stranger sends to the service, whose signature can be checked only after reading."""

import time

import pytest

from xor.errors import UsageError
from xor.signing import Envelope


def test_a_body_of_millions_of_lists_is_refused_before_it_is_parsed():
    body = b"[" + b"[]," * (8 * 2**20 // 3 - 2) + b"[]]"
    began = time.perf_counter()
    with pytest.raises(UsageError):
        Envelope.from_bytes(body)
    assert time.perf_counter() - began < 1.0
