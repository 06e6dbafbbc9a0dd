"""What a person sees while a job runs: who is awaited, at which step, how many bytes."""

import io
from types import SimpleNamespace

import IPython
import pytest

from xor import dataframe as xf
from xor.dataframe import progress
from xor.dataframe.progress import Line, Quiet, watching
from xor.plan.codec import decode_plan
from xor.session import core
from xor.testing import answering
from xor.testing.three_banks import NETWORK
from xor.wire.messages import Progress as Report
from xor.wire.trust import Trust


@pytest.fixture
def shown() -> list[tuple[str, int | None, int | None]]:
    return []


@pytest.fixture
def line(shown) -> Line:
    return Line(lambda *what: shown.append(what))


@pytest.fixture
def run(b_accounts: xf.Frame, c_accounts: xf.Frame, service) -> core.Run:
    service.silent = {"player-1"}
    xf.join([b_accounts, c_accounts], on="account").submit(reveal=True)
    trust = Trust(answering.agreement())
    run = core.begin(trust, service.plan, 100.0)
    decode_plan(service.plan.payload)
    return core.on_event(run, core.Viewed(service.job(NETWORK, run.job, 0, 0)))[0]


def test_the_awaited_machine_is_named(line, shown, run):
    line.on_state(run, None)
    assert shown == [("waiting for 'player-1': approval", None, None)]


def test_a_step_shows_where_it_runs_and_how_far_it_is(line, shown, run, service):
    run = core.replace(run, approvals=frozenset({"player-0", "player-1"}))
    step = Report(
        network=NETWORK, plan=run.job, player="player-1", node=8, step="oprf\x1b[2J", done=5, total=20
    )
    view = service.job(NETWORK, run.job, 0, 0).model_copy(update={"progress": (step,)})
    line.on_state(run, view)
    assert shown == [("oprf�[2J at 'player-1'", 5, 20)]


def test_bytes_that_come_are_counted(line, shown):
    line.on_bytes(10, 1_000_000)
    assert shown == [("receiving 1,000,000 bytes", 10, 1_000_000)]


def test_a_terminal_gets_a_line_and_a_script_nothing(monkeypatch):
    with watching() as watcher:
        assert isinstance(watcher, Quiet)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    with watching() as watcher:
        assert isinstance(watcher, Line)
        watcher.on_bytes(1, 2)
    assert "receiving 2 bytes" in terminal.getvalue()


def test_a_notebook_gets_one_output_that_is_rewritten_and_emptied(monkeypatch):
    lines = []

    def display(data, **how):
        assert how == {"raw": True, "display_id": True}
        lines.append(data)
        return SimpleNamespace(update=lambda data, raw: lines.append(data))

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", display)
    with watching() as watcher:
        for done in (1, 1, 3):
            watcher.on_bytes(done, 3)
    texts = ["submitting", "receiving 3 bytes: 33 %", "receiving 3 bytes: 100 %", ""]
    assert lines == [{"text/plain": each} for each in texts]
