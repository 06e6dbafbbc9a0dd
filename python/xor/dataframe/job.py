"""Jobs: one run of one signed plan, followed from here."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xor.dataframe import progress, render
from xor.dataframe.asked import DEFAULT_TIMEOUT_S
from xor.dataframe.handles import Handle
from xor.dataframe.open import SealedResult
from xor.dataframe.result import Result
from xor.errors import XorError
from xor.session import core
from xor.session.following import Follower, stream_path
from xor.session.transport import NoAnswer
from xor.wire.messages import JobState, JobView

if TYPE_CHECKING:
    from xor.dataframe.client import Client

TRIES = 4


class Job(Handle):
    """A submitted plan. It goes on at the machines whether or not anybody waits for it."""

    def __init__(self, client: "Client", job: str, run: core.Run | None = None) -> None:
        self._client = client
        self._run = run
        self._ended: XorError | None = None
        self._result: Result | None = None
        self.id = job

    @property
    def status(self) -> str:
        """waiting, running, released, refused, failed, cancelled or expired. The service's word."""
        return JobState.RELEASED.value if self._result else self._view().state.value

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The players whose answer is missing. The service's word."""
        return () if self._result else self._view().waiting_for

    def wait(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Result:
        """Waits for the result and fetches it, still sealed.

        Raises:
            PolicyDenied: an owner's machine refused. PeerError: a machine or the service is absent
            (`peer.timeout` names it; the job goes on) or broke off.
        """
        if self._result is None:
            if self._ended is not None:
                raise self._ended
            self._result = self._follow(timeout_s)
        return self._result

    def cancel(self) -> None:
        """Stops the job at every machine. Nothing is revealed.

        Raises:
            PeerError: the service does not answer.
        """
        envelope = self._client.signed_cancel(self.id)
        for attempt in range(TRIES):
            try:
                self._client.session.transport.post(self.id, envelope)
                return
            except NoAnswer:
                if attempt == TRIES - 1:
                    raise
                self._client.clock.sleep(core.FIRST_DELAY_S * 2**attempt)

    def cancel_quietly(self) -> None:
        """Cancels if the service can be reached; says so instead of raising."""
        try:
            self.cancel()
            progress.say(f"job {self.id[:12]}… is cancelled")
        except XorError:
            progress.say(f"job {self.id[:12]}… could not be cancelled: the service does not answer")

    def submit(self, timeout_s: float) -> "Job":
        """Hands the plan to the service; repeated until it answers."""
        with self._interruptible(), progress.watching() as watcher:
            follower = Follower(self._client.session.transport, self._client.clock, watcher, Path())
            self._run = follower.submit(self._started(timeout_s))
        return self

    def _follow(self, timeout_s: float) -> Result:
        run = self._started(timeout_s)
        folder = tempfile.TemporaryDirectory(prefix="xor-result-")
        try:
            with self._interruptible(), progress.watching() as watcher:
                shell = Follower(
                    self._client.session.transport, self._client.clock, watcher, Path(folder.name)
                )
                run = self._run = shell.follow(run)
        except XorError as error:
            if error.code not in _MAY_GO_ON:
                self._ended = error
            raise
        sealed = SealedResult(
            run.plan,
            run.job,
            run.trust.agreement,
            run.manifests,
            {key: stream_path(Path(folder.name), key) for key in run.manifests},
        )
        return Result(sealed, self._client.seal_key_for(run.plan), folder)

    def _started(self, timeout_s: float) -> core.Run:
        """The state to go on from, with a new deadline."""
        deadline = self._client.clock.now() + timeout_s
        if self._run is None:
            trust = self._client.known().trust
            self._run = core.resume(trust, self._view(), self._client.analyst, deadline)
        return replace(self._run, deadline=deadline)

    def _view(self) -> JobView:
        self._client.session.check_open()
        return self._client.session.transport.job(self._client.network, self.id, 0, 0)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C asks whether to detach or cancel; in a script it cancels. Either way it then interrupts."""
        try:
            yield
        except KeyboardInterrupt:
            if progress.wants_detaching(self.id):
                progress.say(f"detached; client.job('{self.id}') finds the job again")
            else:
                self.cancel_quietly()
            raise KeyboardInterrupt from None  # without the way through the HTTP library

    def __repr__(self) -> str:
        return f"<job {self.id} of network '{self._client.network}'>"

    def _repr_html_(self) -> str:
        """Asks the service once; that it does not answer is shown, not raised."""
        view, problem = None, str(self._ended or "")
        try:
            view = self._view()
        except XorError as error:
            problem = problem or str(error)
        return render.job_html(self.id, self._client.network, view, problem)


_MAY_GO_ON = ("peer.timeout", "peer.unreachable")
"""What ends the waiting of a client, but not the job."""
