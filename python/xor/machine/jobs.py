"""All jobs of one machine: journals each event, then has its effects performed.

Shared by the real machine (`machine.shell`) and the simulator, which performs the effects in its own way.
"""

from collections import deque
from collections.abc import Callable

from xor.machine.core import Job, on_event
from xor.machine.events import Allowed, Cleared, Denied, Effect, Event, Restarted, Tick
from xor.machine.journal import AlreadySpentError, Journal

Perform = Callable[[Job, Effect], None]
"""Performs one effect of a job, now or later. It may call `Jobs.handle`; that is queued."""

SPENT = Denied(
    kind="PolicyDenied",
    code="plan.spent",
    message="this plan has been used here already",
    hint="place and sign it again: every plan runs once.",
)


class Jobs:
    """The jobs of the machine that acts for `player`."""

    def __init__(self, network: str, player: str, journal: Journal, perform: Perform) -> None:
        self._network = network
        self._player = player
        self._journal = journal
        self._perform = perform
        self._jobs: dict[str, Job] = {}
        self._queue: deque[tuple[str, Event, int]] = deque()
        self._is_draining = False

    def __getitem__(self, job_id: str) -> Job:
        """The job as it stands: folded from the journal if it is not in memory."""
        if job_id not in self._jobs:
            job = Job(job_id, self._network, self._player)
            for event in self._journal.events_of(job_id):
                job, _ = on_event(job, event)
            self._jobs[job_id] = job
        return self._jobs[job_id]

    def restart(self) -> None:
        """Takes up what a previous process left."""
        for job_id in self._journal.unsettled():
            self.handle(job_id, Restarted())

    def tick(self, now: int) -> None:
        for job_id in tuple(self._jobs):
            self.handle(job_id, Tick(now=now))

    def handle(self, job_id: str, event: Event, now: int = 0) -> None:
        """Takes one event: journals it if it changes anything, then performs its effects.

        Args:
            now: seconds since 1970 UTC; needed for `Cleared`, whose guesses count for that UTC day.
        """
        self._queue.append((job_id, event, now))
        if self._is_draining:
            return
        self._is_draining = True
        try:
            while self._queue:
                self._step(*self._queue.popleft())
        finally:
            self._is_draining = False

    def _step(self, job_id: str, event: Event, now: int) -> None:
        before = self[job_id]
        after, effects = on_event(before, event)
        if after != before:
            try:
                self._record(job_id, event, now)
            except AlreadySpentError:
                self._step(job_id, Cleared(verdict=SPENT), now)
                return
            self._jobs[job_id] = after
            if after.is_settled != before.is_settled:
                self._journal.mark(job_id, after.is_settled)
        for effect in effects:
            self._perform(after, effect)
        if after.is_settled:
            self._jobs.pop(job_id, None)

    def _record(self, job_id: str, event: Event, now: int) -> None:
        match event:
            case Cleared(verdict=Allowed(guesses=guesses)):
                self._journal.spend(job_id, event, guesses, now)
            case _:
                self._journal.append(job_id, event)
