"""What a confined process can still do: tried in a process of its own, against the real kernel."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import json, os, socket, sys
from pathlib import Path
from xor.machine import sandbox
sandbox.harden()
mine, job, other = map(Path, sys.argv[1:4])
level = sandbox.confine([mine], [job])
def can(action):
    try:
        action()
        return True
    except OSError:
        return False
import resource, subprocess
print(json.dumps({
    "level": level,
    "reads its source": can(mine.read_bytes),
    "writes its job": can(lambda: (job / "stream").write_bytes(b"x")),
    "reads another dataset": can(other.read_bytes),
    "reads /etc/shadow": can(Path("/etc/shadow").read_bytes),
    "reads the environment of others": can(Path(f"/proc/{os.getppid()}/environ").read_bytes),
    "lists the folder of its source": can(lambda: list(mine.parent.iterdir())),
    "writes its source": can(lambda: mine.write_bytes(b"x")),
    "writes elsewhere": can(lambda: (mine.parent / "new").write_bytes(b"x")),
    "writes to /tmp": can(lambda: Path("/tmp/xor-sandbox-probe").write_bytes(b"x")),
    "runs a shell": can(lambda: subprocess.run(["/bin/cat", str(other)], check=True)),
    "dumps core": resource.getrlimit(resource.RLIMIT_CORE) != (0, 0),
}))
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    mine, other, job = folder / "mine.csv", folder / "other.csv", folder / "job"
    mine.write_text("a\n1\n")
    other.write_text("secret\n2\n")
    job.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, mine, job, other], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if found.pop("level") == "unsupported":
        pytest.skip("this kernel has no Landlock; machines say so loudly")
    return found


def test_a_confined_process_reads_its_source_and_writes_its_job(probed):
    assert probed["reads its source"]
    assert probed["writes its job"]


@pytest.mark.parametrize(
    "what",
    [
        "reads another dataset",
        "reads /etc/shadow",
        "reads the environment of others",
        "lists the folder of its source",
        "writes its source",
        "writes elsewhere",
        "writes to /tmp",
        "runs a shell",
        "dumps core",
    ],
)
def test_a_confined_process_does_nothing_else(probed, what):
    assert not probed[what]
    assert not Path("/tmp/xor-sandbox-probe").exists()
