"""What a person sees while a job runs: who is awaited, at which step, how many bytes."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from xor import dataframe as xf
from xor.dataframe import progress
from xor.dataframe.progress import Bar, Quiet, watching
from xor.plan.codec import decode_plan
from xor.session import core
from xor.testing import answering
from xor.testing.three_banks import NETWORK
from xor.wire.messages import Progress as Report
from xor.wire.trust import Trust


@pytest.fixture
def bar() -> Bar:
    return Bar(Progress(console=Console(file=io.StringIO(), force_terminal=True)))


def line(bar: Bar) -> str:
    return bar._progress.tasks[0].description


@pytest.fixture
def run(b_accounts: xf.Frame, c_accounts: xf.Frame, service) -> core.Run:
    service.silent = {"player-1"}
    xf.join([b_accounts, c_accounts], on="account").submit(reveal=True)
    trust = Trust(answering.agreement())
    run = core.begin(trust, service.plan, 100.0)
    decode_plan(service.plan.payload)
    return core.on_event(run, core.Viewed(service.job(NETWORK, run.job, 0, 0)))[0]


def test_the_awaited_machine_is_named(bar, run):
    bar.on_state(run, None)
    assert line(bar) == "waiting for 'player-1': approval"


def test_a_step_shows_where_it_runs_and_how_far_it_is(bar, run, service):
    run = core.replace(run, approvals=frozenset({"player-0", "player-1"}))
    step = Report(
        network=NETWORK, plan=run.job, player="player-1", node=8, step="oprf\x1b[2J", done=5, total=20
    )
    view = service.job(NETWORK, run.job, 0, 0).model_copy(update={"progress": (step,)})
    bar.on_state(run, view)
    assert line(bar) == "oprf�[2J at 'player-1'"
    assert (bar._progress.tasks[0].completed, bar._progress.tasks[0].total) == (5, 20)


def test_bytes_that_come_are_counted(bar):
    bar.on_bytes(10, 1_000_000)
    assert line(bar) == "receiving 1,000,000 bytes"


def test_only_a_terminal_gets_a_bar(monkeypatch):
    with watching() as watcher:
        assert isinstance(watcher, Quiet)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    with watching() as watcher:
        assert isinstance(watcher, Bar)
