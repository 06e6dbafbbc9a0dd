"""A whole network as separate processes, over the demo's data in small."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from xor.testing import banks
from xor.testing.demo import network_text
from xor.testing.local import LocalNetwork

ROWS = 900
ACCOUNTS = 250


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unshared(kinds: str, trial: str) -> list[str]:
    """The command to run something in namespaces of its own (letters of `unshare`), where `trial` works.

    Skips the test if that is not permitted here, or the programs for it are missing.
    """
    for command in (["unshare", f"-{kinds}"], ["unshare", f"-Ur{kinds}"]):
        try:
            tried = subprocess.run([*command, "sh", "-c", trial], capture_output=True, check=False)
        except OSError:
            break
        if tried.returncode == 0:
            return command
    pytest.skip("namespaces are not permitted here, or mount, ip or tc is missing")


def bring_up(directory: Path, policies: Path | None = None) -> LocalNetwork:
    """A running network in `directory`, with its profile in `directory/home`."""
    os.environ["XOR_HOME"] = str(directory / "home")
    banks.write(directory, rows=ROWS, accounts=ACCOUNTS)
    file = directory / "network.toml"
    file.write_text(network_text(ROWS, ACCOUNTS, policies))
    network = LocalNetwork.at(file, free_port())
    network.create(lambda _text: None)
    network.start(lambda _text: None)
    return network


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    """A network for the tests of one module, under permissive policies."""
    before = os.environ.get("XOR_HOME")
    up = bring_up(tmp_path_factory.mktemp("network"))
    yield up
    up.down(lambda _text: None)
    if before is None:
        del os.environ["XOR_HOME"]
    else:
        os.environ["XOR_HOME"] = before
