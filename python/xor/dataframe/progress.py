"""Shows how far a job is: a live line in a terminal or a notebook, nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from xor.errors import plain
from xor.session.core import Phase, Run
from xor.session.endings import listed
from xor.session.following import Watcher
from xor.wire.messages import JobView


class Quiet:
    """Neither terminal nor notebook, no output."""

    def on_state(self, run: Run, view: JobView | None) -> None:
        pass

    def on_bytes(self, done: int, total: int) -> None:
        pass


class Line:
    """A line that says who is awaited, at which step, and how many bytes came.

    Args:
        show: takes the line's text, how much is done, and of how much.
    """

    def __init__(self, show: Callable[[str, int | None, int | None], None]) -> None:
        self._show = show

    def on_state(self, run: Run, view: JobView | None) -> None:
        if run.phase is Phase.DOWNLOADING:
            return
        latest = view.progress[-1] if view and view.progress else None
        if latest is None or run.step == "approval":
            self._show(f"waiting for {listed(run.awaited)}: {run.step}", None, None)
        else:
            self._show(plain(f"{latest.step} at '{latest.player}'"), latest.done, latest.total)

    def on_bytes(self, done: int, total: int) -> None:
        self._show(f"receiving {total:,} bytes", done, total)


def watching() -> AbstractContextManager[Watcher]:
    """A watcher for the duration of one wait."""
    if sys.stderr.isatty():
        return _in_terminal()
    return _in_notebook() if _is_notebook() else nullcontext(Quiet())


@contextmanager
def _in_terminal() -> Iterator[Watcher]:
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
        line = progress.add_task("submitting", total=None)
        yield Line(
            lambda text, done, total: progress.update(line, description=text, completed=done, total=total)
        )


@contextmanager
def _in_notebook() -> Iterator[Watcher]:
    """The line as an output of the cell that is rewritten in place, and empty in the end."""
    from IPython.display import display

    output = display({"text/plain": "submitting"}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
    shown = ""

    def show(text: str, done: int | None, total: int | None) -> None:
        nonlocal shown
        line = f"{text}: {100 * (done or 0) // total} %" if total else text
        if line != shown:
            output.update({"text/plain": line}, raw=True)
            shown = line

    try:
        yield Line(show)
    finally:
        output.update({"text/plain": ""}, raw=True)


def _is_notebook() -> bool:
    """Whether an IPython kernel runs this; if so, it has been imported."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


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
