"""Disks fill up within jobs, in small."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.e2e.conftest import free_port, unshared


@pytest.mark.timeout(400)
def test_full_disks_end_jobs_cleanly_and_cost_nothing_once_they_are_free() -> None:
    trial = "mount -t tmpfs -o size=1m tmpfs /mnt"
    command = [*unshared("m", trial), sys.executable, "-m", "xor.testing.full", "--rows", "2000"]
    command += ["--port", str(free_port()), "--rounds", "1", "--seed", "20261126"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = [json.loads(line.split(None, 1)[1]) for line in ended.stdout.splitlines()[1:]]
    assert [each["disk"] for each in found] == ["service", "player-0", "player-1"]
