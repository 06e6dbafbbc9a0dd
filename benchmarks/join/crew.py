"""Processes that are measured together: started first, set off at one moment, heard out, stopped."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from benchmarks.join.child import Message

_ROOT = Path(__file__).parents[2]
_TAIL_BYTES = 2000
_PATIENCE_S = 10


class Failed(Exception):
    """A measured process ended before it had said everything."""


class Process:
    """One of them. Its standard error is shown only when it fails."""

    def __init__(self, module: str, python: str, scratch: Path) -> None:
        self._module = module
        self._errors = TemporaryFile()  # noqa: SIM115  lives as long as the process
        # Absolute, since it works elsewhere: else it would measure another build than this process names.
        given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        path = os.pathsep.join([str(_ROOT), *map(os.path.abspath, given)])
        self._process = subprocess.Popen(
            [python, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=scratch,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(scratch)},
            text=True,
            bufsize=1,
        )

    def say(self, **order: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")

    def hear(self) -> Message:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{self._module} failed: {self._last_words()}")
        found: Message = json.loads(line)
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(_PATIENCE_S)
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe:
                pipe.close()

    def _last_words(self) -> str:
        self._process.wait(_PATIENCE_S)
        self._errors.seek(0)
        return self._errors.read()[-_TAIL_BYTES:].decode(errors="replace")


@contextmanager
def started(modules: Sequence[str], scratch: Path, python: str = sys.executable) -> Iterator[list[Process]]:
    """The processes of some modules, importing; all are gone afterwards."""
    with ExitStack() as stack:
        found = [Process(module, python, scratch) for module in modules]
        for each in found:
            stack.callback(each.stop)
        yield found


def set_off(processes: Sequence[Process]) -> float:
    """Waits until all are ready, starts them and gives the moment by the system's monotonic clock."""
    for each in processes:
        each.hear()
    now = time.monotonic()
    for each in processes:
        each.say(start=True)
    return now
