"""One submitted job as its analyst sees it: a pure state machine.

The shell (`session.following`, or the simulator) performs the effects and reports what happened as
events. Clocks, sockets and files belong to the shell. Submitting, polling and downloading may all be
repeated: the service knows a plan by its hash and a stream by its place.

Security: the service's own words (state, waiting_for, progress) are shown but never believed. Results
count once every stream of every part is vouched for by the machine that the plan names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from xor.errors import AuthError, PeerError, ProtocolAbort, XorError
from xor.plan.cost import stream_bytes
from xor.plan.placed import PlacedPlan
from xor.session import endings
from xor.signing import Envelope
from xor.wire.messages import (
    Approval,
    Cancel,
    Closed,
    Entry,
    Failure,
    JobView,
    Kind,
    Manifest,
    Offer,
    Refusal,
)
from xor.wire.trust import Trust

POLL_S = 20
"""How long the service may hold a poll before it answers that nothing is new."""
FIRST_DELAY_S = 0.25
LAST_DELAY_S = 8.0
PATIENCE_S = 60
"""How long a service may stay silent before the client stops asking."""

StreamKey = tuple[int, int]
"""Where a stream belongs: number of the node, side."""


class Phase(StrEnum):
    SUBMITTING = "submitting"
    WAITING = "waiting"
    DOWNLOADING = "downloading"
    DONE = "done"
    ENDED = "ended"


@dataclass(frozen=True)
class Run:
    """The state. Start with `begin` (a new plan) or `resume` (one that the service holds).

    Args:
        reader: the analyst who follows: who asked, or a recipient. Others get no streams.
        deadline: when waiting ends, in seconds of the shell's clock.
        silent_since: when the service last failed to answer for the first time in a row.
        after: position of the last entry read.
    """

    trust: Trust
    envelope: Envelope
    plan: PlacedPlan
    job: str
    reader: str
    deadline: float
    phase: Phase = Phase.SUBMITTING
    silent_since: float | None = None
    attempts: int = 0
    after: int = 0
    approvals: frozenset[str] = frozenset()
    offers: frozenset[str] = frozenset()
    manifests: Mapping[StreamKey, Manifest] = field(default_factory=dict)
    stored: frozenset[StreamKey] = frozenset()

    @property
    def expected(self) -> Mapping[StreamKey, str]:
        """Every stream of the plan and the player who sends it."""
        return {
            (part.node, side): player for part in self.plan.parts for side, player in enumerate(part.players)
        }

    @property
    def is_complete(self) -> bool:
        return self.manifests.keys() == self.expected.keys()

    @property
    def awaited(self) -> tuple[str, ...]:
        """The players whose answer is missing, from what is proved."""
        for answered in (self.approvals, self.offers if self._is_private else self.approvals):
            missing = tuple(player for player in self.plan.players if player not in answered)
            if missing:
                return missing
        late = {player for key, player in self.expected.items() if key not in self.manifests}
        return tuple(sorted(late))

    @property
    def step(self) -> str:
        """What the job waits for, in a few words."""
        if self.phase is Phase.SUBMITTING:
            return "submitting"
        if self.phase is not Phase.WAITING:
            return self.phase.value
        return "approval" if set(self.approvals) < set(self.plan.players) else "result"

    @property
    def _is_private(self) -> bool:
        return bool(self.plan.exchanges)


@dataclass(frozen=True)
class Started:
    """The shell is ready."""


@dataclass(frozen=True)
class Viewed:
    """The service answered a submission or a poll."""

    view: JobView


@dataclass(frozen=True)
class Unanswered:
    """A request was lost, or its answer was. `at` is the shell's clock."""

    at: float


@dataclass(frozen=True)
class Refused:
    """The service answered a request with an error."""

    error: XorError


@dataclass(frozen=True)
class Downloaded:
    """A stream is stored here; `sha256` and `size` are what was measured."""

    key: StreamKey
    sha256: str
    size: int


@dataclass(frozen=True)
class Ticked:
    """Time passed. Sent before every effect that waits."""

    at: float


Event = Started | Viewed | Unanswered | Refused | Downloaded | Ticked


@dataclass(frozen=True)
class Submit:
    envelope: Envelope
    delay_s: float = 0.0


@dataclass(frozen=True)
class Poll:
    """Ask for entries after `after`; the service may hold the question for `wait_s`."""

    after: int
    wait_s: int
    delay_s: float = 0.0


@dataclass(frozen=True)
class Download:
    """Fetch a stream of exactly `size` bytes."""

    key: StreamKey
    size: int
    delay_s: float = 0.0


@dataclass(frozen=True)
class Finish:
    """Everything is here and vouched for. Nothing is sent about this job from now on."""

    manifests: Mapping[StreamKey, Manifest]


@dataclass(frozen=True)
class Raise:
    error: XorError


Effect = Submit | Poll | Download | Finish | Raise


def begin(trust: Trust, envelope: Envelope, deadline: float) -> Run:
    """The state of a plan that this client signed."""
    plan, job = trust.plan(envelope)
    return Run(trust, envelope, plan, job, plan.analyst, deadline)


def resume(trust: Trust, view: JobView, reader: str, deadline: float) -> Run:
    """The state of a job that the service holds, from the signed plan in its log.

    Raises:
        AuthError: the log does not hold a plan of that hash that `reader` asked for or receives.
    """
    for entry in view.entries:
        if entry.kind is Kind.PLAN and entry.job == view.job:
            run = begin(trust, Envelope.from_bytes(entry.envelope.encode()), deadline)
            if run.job == view.job and reader in (run.plan.analyst, *run.plan.recipients):
                return replace(run, reader=reader, phase=Phase.WAITING)
    raise AuthError(
        "the service shows no plan for this job that concerns you", code="auth.altered-plan", job_id=view.job
    )


def on_event(run: Run, event: Event) -> tuple[Run, tuple[Effect, ...]]:
    """One transition. Pure: whatever is wrong becomes a `Raise`, never an exception."""
    if run.phase in (Phase.DONE, Phase.ENDED):
        return run, ()
    try:
        return _step(run, event)
    except XorError as error:
        return _end(run, error)


def _step(run: Run, event: Event) -> tuple[Run, tuple[Effect, ...]]:
    match event:
        case Started():
            return run, _next_request(run)
        case Viewed(view):
            return _viewed(replace(run, silent_since=None, attempts=0), view)
        case Unanswered(at):
            return _unanswered(run, at)
        case Refused(error):
            return _end(run, error)
        case Downloaded():
            return _downloaded(replace(run, silent_since=None, attempts=0), event)
        case Ticked(at) if at >= run.deadline and run.phase is not Phase.DOWNLOADING:
            awaited = endings.listed(run.awaited) if run.phase is Phase.WAITING else "the service"
            return _end(run, endings.timed_out(awaited, run.step, run.job))
        case Ticked():
            return run, ()


def _next_request(run: Run, delay_s: float = 0.0) -> tuple[Effect, ...]:
    match run.phase:
        case Phase.SUBMITTING:
            return (Submit(run.envelope, delay_s),)
        case Phase.WAITING:
            return (Poll(run.after, POLL_S, delay_s),)
        case _:
            missing = sorted(run.manifests.keys() - run.stored)
            return tuple(Download(key, run.manifests[key].bytes, delay_s) for key in missing[:1])


def _viewed(run: Run, view: JobView) -> tuple[Run, tuple[Effect, ...]]:
    if view.job != run.job:
        raise AuthError("the service answers with another job", code="auth.altered-plan", job_id=run.job)
    run = replace(run, phase=Phase.WAITING) if run.phase is Phase.SUBMITTING else run
    fresh = sorted(
        (entry for entry in view.entries if entry.position > run.after), key=lambda each: each.position
    )
    for entry in fresh:
        run = _read(run, entry)
    if run.is_complete:
        _check_attempts(run)
        if run.reader not in run.plan.recipients:
            return replace(run, phase=Phase.DONE), (Finish(run.manifests),)
        run = replace(run, phase=Phase.DOWNLOADING)
    elif view.state.is_final and not fresh:
        # Its word alone neither ends a job nor releases one.
        raise endings.no_proof(view.state.value, run.job)
    return run, _next_request(run)


def _read(run: Run, entry: Entry) -> Run:
    """Takes one entry of the log into the state, or raises what it says."""
    if entry.job != run.job:
        raise AuthError("an entry of the log is about another job", code="auth.other-job", job_id=run.job)
    document = run.trust.read(entry)
    run = replace(run, after=entry.position)
    match document:
        case PlacedPlan():
            if Envelope.from_bytes(entry.envelope.encode()).payload != run.envelope.payload:
                raise AuthError("the service altered the plan", code="auth.altered-plan", job_id=run.job)
            return run
        case Approval() | Refusal() | Offer() | Manifest() | Failure():
            return _from_player(run, document)
        case Cancel(analyst=analyst):
            if analyst != run.plan.analyst:
                raise AuthError("somebody else cancelled the job", code="auth.stranger", job_id=run.job)
            raise PeerError("the job was cancelled", code="peer.cancelled", job_id=run.job)
        case Closed():
            raise endings.closed(document, run.awaited, run.job)


def _from_player(run: Run, document: Approval | Refusal | Offer | Manifest | Failure) -> Run:
    if document.player not in run.plan.players:
        raise AuthError(
            f"'{document.player}' takes no part in the plan, but answers",
            code="auth.stranger",
            job_id=run.job,
        )
    match document:
        case Approval(player=player):
            return replace(run, approvals=run.approvals | {player})
        case Offer(player=player):
            return replace(run, offers=run.offers | {player})
        case Manifest():
            return _with_manifest(run, document)
        case Refusal():
            raise endings.refused(document, run.job)
        case Failure():
            raise endings.failed(document, run.job)


def _with_manifest(run: Run, manifest: Manifest) -> Run:
    key = (manifest.node, manifest.side)
    if run.expected.get(key) != manifest.player:
        raise AuthError(
            f"'{manifest.player}' vouches for a stream that is not its own",
            code="auth.stranger",
            job_id=run.job,
        )
    (part,) = (each for each in run.plan.parts if each.node == manifest.node)
    if manifest.bytes != stream_bytes(part, manifest.side):
        # Its size follows from the plan. Whoever announces another one wants the disk of its reader.
        raise ProtocolAbort(
            f"'{manifest.player}' announces a stream of another size than the plan's",
            code="protocol.wrong-size",
            hint="nothing was fetched; is its machine of the same version?",
            job_id=run.job,
        )
    if run.manifests.get(key, manifest) != manifest:
        raise ProtocolAbort(
            f"'{manifest.player}' vouches for two different streams in one place",
            code="protocol.two-manifests",
            job_id=run.job,
        )
    return replace(run, manifests={**run.manifests, key: manifest})


def _check_attempts(run: Run) -> None:
    for part in run.plan.parts:
        attempts = {run.manifests[part.node, side].attempt for side in range(len(part.players))}
        if len(attempts) != 1:
            raise ProtocolAbort(
                f"the streams of step {part.node} are of different attempts",
                code="protocol.other-attempt",
                job_id=run.job,
            )


def _downloaded(run: Run, event: Downloaded) -> tuple[Run, tuple[Effect, ...]]:
    manifest = run.manifests[event.key]
    if (event.sha256, event.size) != (manifest.sha256, manifest.bytes):
        raise ProtocolAbort(
            f"the service holds other bytes than '{manifest.player}' vouched for",
            code="protocol.altered-stream",
            hint="nothing of it was opened; run the plan anew.",
            job_id=run.job,
        )
    run = replace(run, stored=run.stored | {event.key})
    if run.stored == run.manifests.keys():
        return replace(run, phase=Phase.DONE), (Finish(run.manifests),)
    return run, _next_request(run)


def _unanswered(run: Run, at: float) -> tuple[Run, tuple[Effect, ...]]:
    since = at if run.silent_since is None else run.silent_since
    if at - since >= PATIENCE_S:
        return _end(
            run,
            endings.no_answer(run.job),
        )
    delay_s = min(FIRST_DELAY_S * 2**run.attempts, LAST_DELAY_S)
    run = replace(run, silent_since=since, attempts=run.attempts + 1)
    return run, _next_request(run, delay_s)


def _end(run: Run, error: XorError) -> tuple[Run, tuple[Effect, ...]]:
    error.job_id = error.job_id or run.job
    return replace(run, phase=Phase.ENDED), (Raise(error),)
