"""All jobs of one machine: journals each event, then has its effects performed.

Shared by the real machine (`machine.shell`) and the simulator, which performs the effects in its own way.
"""

from collections import deque
from collections.abc import Callable

from xor.machine.core import Job, State, on_event
from xor.machine.events import Allowed, Cleared, Effect, Event, Restarted, Tick
from xor.machine.journal import AlreadySpentError, Journal
from xor.machine.judging import SPENT

Perform = Callable[[Job, Effect], None]
"""Performs one effect of a job, now or later. It may call `Jobs.handle`; that is queued."""


class Jobs:
    """The jobs of the machine that acts for `player`.

    Args:
        on_change: called with the job before and after each change, once that is durable.
    """

    def __init__(
        self,
        network: str,
        player: str,
        journal: Journal,
        perform: Perform,
        on_change: Callable[[Job, Job], None] = lambda _before, _after: None,
    ) -> None:
        self._network = network
        self._player = player
        self._journal = journal
        self._perform = perform
        self._on_change = on_change
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

    def in_memory(self) -> tuple[str, ...]:
        """Jobs that are not settled, and the few that were looked at."""
        return tuple(self._jobs)

    def states(self) -> list[State]:
        """Where the jobs in memory are. Safe to call from another thread."""
        return [job.state for job in list(self._jobs.values())]

    def tick(self, now: int) -> None:
        for job_id in self.in_memory():
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
            if before.is_settled and not after.is_settled:
                # First: once the event is there, a start must look at the job.
                self._journal.mark(job_id, False)
            try:
                self._record(job_id, event, now)
            except AlreadySpentError:
                self._step(job_id, Cleared(verdict=SPENT), now)
                return
            except Exception:
                # Whether the event is on disk is not known, so memory may be behind: fold it anew.
                self._jobs.pop(job_id, None)
                raise
            self._jobs[job_id] = after
            self._on_change(before, after)
            if after.is_settled and not before.is_settled:
                self._journal.mark(job_id, True)
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
