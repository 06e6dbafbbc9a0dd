"""The end of a measured process: orders on standard input, words on standard output, its own figures.

Standard library only: the peer's process imports it in an environment without our packages.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Child:
    """What a process hears and says, and how long its steps take, by the clock that all processes share."""

    def __init__(self) -> None:
        self._words = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
        os.dup2(2, 1)  # whatever a library prints goes to standard error
        self._cpu_s = 0.0
        self.steps: list[Message] = []

    def hear(self) -> Message:
        """The next order; ends the process with whoever gives orders."""
        line = sys.stdin.readline()
        if not line:
            sys.exit(1)
        found: Message = json.loads(line)
        return found

    def say(self, **word: Any) -> None:
        self._words.write(json.dumps(word) + "\n")

    def await_start(self) -> None:
        """Says that everything before the clock is done, and waits for the start."""
        self.say(ready=True)
        self.hear()
        self._cpu_s = time.process_time()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.note(name, time.monotonic() - began)

    def note(self, name: str, seconds: float) -> None:
        self.steps.append({"step": name, "seconds": round(seconds, 4)})

    def finish(self, **facts: Any) -> None:
        """Says what was measured; the moment of this call ends the process's work."""
        self.say(
            ended=time.monotonic(),
            cpu_seconds=round(time.process_time() - self._cpu_s, 3),
            peak_mib=peak_mib(),
            steps=self.steps,
            **facts,
        )


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0
