"""The benchmark measures what it says: real processes, the right rows, every figure there. Never how fast."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROWS = 1001


def figures(*options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.join", "--rows", str(ROWS), "--runs", "1", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_last_line_has_the_figures_of_all_processes() -> None:
    found = figures()
    assert (found["rows"], found["matches"], found["net"]) == (ROWS, ROWS - ROWS // 2, "lan")
    assert found["processes"] == ["player-0", "player-1", "analyst"]
    assert [len(found[each]) for each in ("sent_bytes", "stream_bytes")] == [2, 2]
    assert [len(found[each]) for each in ("peak_mib", "cpu_seconds")] == [3, 3]
    assert found["rounds"] > 0
    assert found["seconds"] > 0
    assert found["plaintext_seconds"] > 0
    assert found["peer_seconds"] is None
    assert found["peer"] == "not asked for"
    assert {"read", "local", "join"} <= found["steps"]["player-0"].keys() & found["steps"]["player-1"].keys()
    assert {"open", "write"} <= found["steps"]["analyst"].keys()


def test_a_matched_join_is_measured_likewise() -> None:
    found = figures("--join", "matched")
    assert found["matches"] == ROWS - ROWS // 2
    assert found["processes"] == ["player-0", "player-1"]
    assert {"read", "join", "match", "write"} <= found["steps"]["player-0"].keys()
    assert "write" not in found["steps"]["player-1"]


def test_the_wan_carries_all_bytes_and_costs_what_the_formula_says() -> None:
    found = figures("--net", "wan", "--json")
    assert found["matches"] == ROWS - ROWS // 2
    # On the wire are TLS records around what the channel counts.
    for wire, sent in zip(found["wire_bytes"], found["sent_bytes"], strict=True):
        assert sent < wire < 1.1 * sent + 10_000
    expected = max(found["sent_bytes"]) * 8 / 100e6 + found["rounds"] * 0.080
    assert abs(found["formula_seconds"] - expected) < 0.001
