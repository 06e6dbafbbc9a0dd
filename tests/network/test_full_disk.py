"""A disk that is full at any moment of a step with tables on it: a typed error, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xor import _core

ROWS = 30_000
STEP = """
import json, resource, sys
import pyarrow as pa
from xor import _core
from xor.errors import ResourceError

limit, rows = int(sys.argv[1]), int(sys.argv[2])
spec = sys.stdin.buffer.read()
keys = [f"account {n}" for n in range(rows)]
table = pa.table({"c0": keys, "c1": [f"value {n:060d}" for n in range(rows)]})
# The system refuses what a full disk would: no file may grow beyond.
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    rows, _ = _core.run_locally(spec, (table, table), "ideal", 0)
    print(json.dumps(pa.table(rows).num_rows))
except ResourceError as error:
    print(json.dumps(error.code))
"""


def _spec() -> bytes:
    text = {"type": "text"}
    seal_key = _core.seal_public_key(bytes(32)).hex()
    document = {
        "version": 1,
        "plan_hash": "ab" * 32,
        "node": 1,
        "kind": "inner",
        "opener": 0,
        "rows": [ROWS, ROWS],
        "keys": [{"left": text, "right": text}],
        "payload": [[{"name": name, "max_bytes": 80, **text}] for name in ("l", "r")],
        "oprf": "vole",
        "recipients": [{"name": "desk", "seal_key": seal_key}],
    }
    return json.dumps(document).encode()


def _run(limit: int, directory: Path) -> int | str:
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(limit), str(ROWS)],
        input=_spec(),
        capture_output=True,
        env={**os.environ, "TMPDIR": str(directory)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: int | str = json.loads(done.stdout)
    assert not list(directory.iterdir())
    return found


@pytest.mark.parametrize("megabytes", [0.1, 0.5, 1, 1.5, 2, 3, 4])
def test_a_disk_that_fills_up_ends_the_step_and_leaves_nothing(megabytes: float, tmp_path: Path) -> None:
    assert _run(int(megabytes * 2**20), tmp_path) == "resource.disk"


def test_with_room_enough_the_same_step_succeeds(tmp_path: Path) -> None:
    assert _run(2**30, tmp_path) == ROWS
