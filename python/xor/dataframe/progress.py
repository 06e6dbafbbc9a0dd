"""Shows how far a job is: a live line in a terminal, nothing elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from xor.dataframe.render import plain
from xor.session.core import Phase, Run
from xor.session.endings import listed
from xor.session.following import Watcher
from xor.wire.messages import JobView


class Quiet:
    """No terminal, no output."""

    def on_state(self, run: Run, view: JobView | None) -> None:
        pass

    def on_bytes(self, done: int, total: int) -> None:
        pass


class Bar:
    """A line that says who is awaited, at which step, and how many bytes came."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._line = progress.add_task("submitting", total=None)

    def on_state(self, run: Run, view: JobView | None) -> None:
        if run.phase is Phase.DOWNLOADING:
            return
        latest = view.progress[-1] if view and view.progress else None
        if latest is None or run.step == "approval":
            text = f"waiting for {listed(run.awaited)}: {run.step}"
            self._progress.update(self._line, description=text, total=None)
        else:
            text = plain(f"{latest.step} at '{latest.player}'")
            self._progress.update(self._line, description=text, completed=latest.done, total=latest.total)

    def on_bytes(self, done: int, total: int) -> None:
        text = f"receiving {total:,} bytes"
        self._progress.update(self._line, description=text, completed=done, total=total)


@contextmanager
def watching() -> Iterator[Watcher]:
    """A watcher for the duration of one wait."""
    if not sys.stderr.isatty():
        yield Quiet()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    # Not redirected: after Ctrl-C at the wrong moment a question would be lost in rich's buffer.
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        yield Bar(progress)


def wants_detaching(job: str) -> bool:
    """After Ctrl-C: whether to leave the job alone. Asked in a terminal; a script cancels."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"\njob {job[:12]}… goes on at the machines. Detach (d) or cancel it (c)? ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower().startswith("d")
    except KeyboardInterrupt:
        return False


def say(text: str) -> None:
    """One line to the person at the terminal; a log of a script keeps it too."""
    sys.stderr.write(plain(text) + "\n")
