"""Lines between processes go bad in every way, in small; `make faults` does more of it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import free_port, unshared

from xor.testing import faults
from xor.testing.faults import LINES, Faults
from xor.testing.namespaces import NARROW

BETWEEN_MACHINES = LINES[2]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    before = dict(os.environ)
    folder = tmp_path_factory.mktemp("faults")
    with faults.network_of(folder, free_port(), 2000, "vole", random.Random(20261126)) as made:
        yield made
    os.environ.clear()
    os.environ |= before


@pytest.mark.timeout(120)
@pytest.mark.parametrize("line", LINES)
def test_connections_that_are_cut_again_and_again_end_in_rows_or_a_clean_failure(lines, line):
    assert lines.flapping(line)["hits"] > 0


@pytest.mark.timeout(120)
def test_a_slow_line_between_machines_costs_nothing_but_time(lines):
    assert "rows" in lines.slow(BETWEEN_MACHINES)


@pytest.mark.timeout(180)
def test_a_machine_that_falls_silent_is_given_up_in_time(lines):
    found = lines.half_open(BETWEEN_MACHINES)
    assert found["hits"] > 0
    assert found.get("code", "peer.stalled").startswith("peer.")


@pytest.mark.timeout(240)
def test_two_computers_with_a_bad_cable_between_them(tmp_path: Path):
    cable, narrow = "ip link add xor0 type veth peer name xor1", " ".join(NARROW)
    trial = f"{cable} && tc qdisc add dev xor0 root {narrow}"
    command = [*unshared("n", trial), sys.executable, "-m", "xor.testing.namespaces", "--rows", "2000"]
    command += ["--port", str(free_port()), "--pulled", "12", "--seed", "20261126"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = [json.loads(line.split(None, 1)[1]) for line in ended.stdout.splitlines()[1:]]
    assert [each["fault"] for each in found] == ["narrow", "pulled", "flapping"]
