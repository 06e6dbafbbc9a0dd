"""Whatever the order, the repeats and the restarts: one worker at most, and only when everything is right."""

from hypothesis import given, settings
from hypothesis import strategies as st

from xor.machine.core import Job
from xor.machine.events import (
    Clear,
    Cleared,
    Delivered,
    Denied,
    Effect,
    Event,
    Failed,
    Judge,
    Judged,
    StartWorker,
    Tick,
    Uploaded,
)
from xor.machine.jobs import Jobs
from xor.machine.journal import Journal
from xor.testing import three_banks as banks
from xor.wire.messages import Kind

NO = Denied(kind="PolicyDenied", code="policy.denied", message="no")


class Machine:
    """The production jobs and journal; the worker is a counter. Checks at each start that all is in order."""

    def __init__(self, script, judge_says_yes: bool) -> None:
        self.script = script
        self.journal = Journal(None)
        self.verdict = script.allowed() if judge_says_yes else NO
        self.heard: set[str] = set()
        self.starts = 0
        self.crash_at: int | None = None
        self.jobs = self._jobs()

    def _jobs(self) -> Jobs:
        return Jobs(banks.NETWORK, self.script.me, self.journal, self._perform)

    def restart(self) -> None:
        self.jobs = self._jobs()
        self.jobs.restart()

    def tell(self, event: Event) -> None:
        if event == self.script.approval():
            self.heard.add(self.script.peer)
        self.jobs.handle(self.script.id, event, banks.NOW)

    def _perform(self, job: Job, effect: Effect) -> None:
        match effect:
            case Judge():
                self.jobs.handle(job.id, Judged(verdict=self.verdict))
            case Clear():
                self.jobs.handle(job.id, Cleared(verdict=self.verdict), banks.NOW)
            case StartWorker():
                self.starts += 1
                self.check_start()

    def check_start(self) -> None:
        assert self.starts == 1
        assert self.verdict != NO
        assert self.script.peer in self.heard
        assert self.journal.is_spent(self.script.id, banks.NOW)
        assert self.journal.guesses_spent(banks.NOW) == {"accounts_c": 7}


def events_of(script) -> dict[str, Event | None]:
    """Everything that can happen, by name; None is a restart of the machine."""
    return {
        "plan": script.plan_arrives(),
        "plan elsewhere": script.plan_arrives(position=5),
        "approval": script.approval(),
        "approval of nothing": script.approval(policies=()),
        "approval of another plan": script.approval(plan="1" * 64),
        "own approval": script.approval(script.me),
        "offer": script.offer(),
        "other offer": script.offer(None, key="ee" * 32),
        "cancel": script.cancel(),
        "cancel by another": script.cancel("auditors"),
        "failure": script.failure(),
        "refusal": script.refusal(),
        "closed": script.closed(),
        "allowed unasked": Judged(verdict=script.allowed()),
        "ready": script.ready(),
        "done": script.done(),
        "worker failed": Failed(kind="PeerError", code="peer.x", message="m"),
        "delivered": Delivered(kind=Kind.APPROVAL),
        "uploaded": Uploaded(node=0, side=0),
        "time": Tick(now=banks.NOW),
        "too late": Tick(now=script.plan.not_after),
        "restart": None,
    }


GOOD = ("plan", "approval", "offer", "ready", "done", "restart", "time", "delivered")


@settings(max_examples=200, deadline=None)
@given(data=st.data(), judge_says_yes=st.booleans())
def test_a_worker_starts_at_most_once_and_only_after_all_approvals_and_the_spending(
    one, data, judge_says_yes
):
    machine = Machine(one, judge_says_yes)
    events = events_of(one)
    names = st.one_of(st.sampled_from(sorted(events)), st.sampled_from(GOOD))
    for name in data.draw(st.lists(names, max_size=25)):
        event = events[name]
        machine.restart() if event is None else machine.tell(event)


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(["plan", "approval", "offer", "restart", "time"]))
def test_in_any_order_of_what_must_come_the_worker_does_start(one, order):
    machine = Machine(one, judge_says_yes=True)
    for name in order:
        event = events_of(one)[name]
        machine.restart() if event is None else machine.tell(event)
    assert machine.starts == 1


def test_a_machine_that_lost_its_jobs_but_not_its_ledger_does_not_run_a_plan_again(one):
    machine = Machine(one, judge_says_yes=True)
    machine.journal.spend(one.id, one.plan_arrives(), one.allowed().guesses, banks.NOW)
    machine.restart()
    machine.tell(one.approval())
    assert machine.starts == 0
    assert machine.jobs[one.id].outbox[-1].code == "plan.spent"


def test_the_state_is_the_fold_of_the_journal(one):
    machine = Machine(one, judge_says_yes=True)
    for name in ("plan", "approval", "ready", "offer", "done"):
        machine.tell(events_of(one)[name])
    folded = Jobs(banks.NETWORK, one.me, machine.journal, lambda _job, _effect: None)
    assert folded[one.id] == machine.jobs[one.id]
