"""Processes that a local network starts: known by id and start time, so that none but ours is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from xor.errors import PeerError

STOP_AFTER_S = 8.0


@dataclass(frozen=True, slots=True)
class Started:
    """A process of ours. `born` is its start time in kernel ticks: a reused id has another one."""

    name: str
    pid: int
    born: int
    log: str

    @property
    def is_alive(self) -> bool:
        return _born(self.pid) == self.born

    def stop(self, timeout_s: float = STOP_AFTER_S) -> None:
        """Asks the process to end without its jobs, and ends it if it does not."""
        for sign in (signal.SIGINT, signal.SIGKILL):
            if not self.is_alive:
                break
            os.kill(self.pid, sign)
            wait_until(lambda: not self.is_alive, timeout_s)
        self._reap()

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
            wait_until(lambda: not self.is_alive, STOP_AFTER_S)
        self._reap()

    def _reap(self) -> None:
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return  # started by another process, which reaps it


def start(name: str, arguments: Sequence[str], log: Path, environment: dict[str, str]) -> Started:
    """Starts `python -m ...` in a session of its own, output to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    born = _born(process.pid)
    # Popen would warn about a child that outlives it; from here on the id and birth are what we hold.
    process.returncode = 0
    return Started(name, process.pid, born or 0, str(log))


def save(path: Path, processes: Sequence[Started]) -> None:
    path.write_text(json.dumps([asdict(each) for each in processes]))


def load(path: Path) -> tuple[Started, ...]:
    """The processes that `save` wrote; none if there is no such file."""
    try:
        return tuple(Started(**each) for each in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()


def wait_until(condition: Callable[[], bool], timeout_s: float, step_s: float = 0.02) -> bool:
    """Whether the condition came true within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step_s)
    return True


def wait_ready(process: Started, is_ready: Callable[[], bool], timeout_s: float) -> None:
    """Waits for a process to be ready.

    Raises:
        PeerError: it ended, or took too long; the hint holds the end of its log.
    """
    wait_until(lambda: is_ready() or not process.is_alive, timeout_s)
    if process.is_alive and is_ready():
        return
    tail = Path(process.log).read_text(errors="replace").strip().splitlines()[-4:]
    raise PeerError(
        f"{process.name} did not come up",
        code="peer.not-ready",
        hint="the end of its log: " + (" | ".join(tail) or "empty"),
    )


def _born(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def children(process: Started) -> tuple[Started, ...]:
    """The processes that ours has started and that still run: the workers of a machine."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        pid = int(folder.name)
        born = _born(pid)
        if born is not None and _parent(pid) == process.pid:
            found.append(Started(f"child of {process.name}", pid, born, process.log))
    return tuple(found)


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
