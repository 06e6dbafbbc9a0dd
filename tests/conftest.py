"""What tests of several folders share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xor.testing.postgres import Server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["Server"]:
    """A real PostgreSQL server, started when the first test of this process wants it."""
    from xor.testing.postgres import Server

    server = Server()
    try:
        yield server
    finally:
        server.close()
