"""What one member, or a stranger, may cost: judging and reading stay cheap whatever is sent."""

import contextlib
import time

from xor.errors import XorError
from xor.signing import Envelope


def seconds_of(work):
    start = time.perf_counter()
    with contextlib.suppress(XorError):
        work()
    return time.perf_counter() - start


def test_a_strangers_body_is_refused_before_it_costs_anything():
    """/v1/machines/announce takes 8 MiB from anybody and reads them on the event loop."""
    body = b"[" + b"[]," * (8 * 2**20 // 3 - 2) + b"[]]"
    assert seconds_of(lambda: Envelope.from_bytes(body)) < 1.0
