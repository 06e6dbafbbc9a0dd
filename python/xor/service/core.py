"""A job at the service, as a pure state machine: the fold of its log.

No sockets, no clock, no randomness. The caller has verified signatures (`wire.trust`), appends what an
`Append` says durably, and only then shows the new state to anybody.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from xor.errors import AuthError, ResourceError, UsageError, XorError
from xor.plan.placed import Part, PlacedPlan
from xor.service.admission import stream_limit
from xor.signing import Envelope
from xor.wire.messages import (
    Approval,
    Cancel,
    Closed,
    Failure,
    JobState,
    Kind,
    Manifest,
    Offer,
    Refusal,
)

Said = Approval | Refusal | Offer | Manifest | Failure | Cancel | Closed


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the service waits, in seconds: for approvals, then for offers, then for the streams."""

    approvals_s: int = 600
    offers_s: int = 120
    completion_s: int = 6 * 3600


class Slot(NamedTuple):
    """Who says what about which stream: a log holds at most one entry for each slot."""

    kind: Kind
    member: str = ""
    node: int = 0
    side: int = 0

    def __str__(self) -> str:
        return f"{self.kind.value}/{self.member}/{self.node}/{self.side}"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A plan arrived, signed by its analyst. `job` is the hash of its canonical bytes."""

    job: str
    plan: PlacedPlan
    envelope: Envelope
    at: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A document about the job arrived, signed by the member that it names."""

    document: Said
    envelope: Envelope
    at: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""

    now: int


Event = Submitted | Arrived | Tick


@dataclass(frozen=True, slots=True)
class Append:
    """Make this entry durable; nothing of the new state is shown before."""

    slot: Slot
    envelope: Envelope
    at: int


@dataclass(frozen=True, slots=True)
class Wake:
    """There is news for these players, and for whoever watches the job."""

    players: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Close:
    """Sign this document with the service's key and deliver it as `Arrived`."""

    document: Closed


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete the streams of the job: it will never be released."""


Effect = Append | Wake | Close | Discard


@dataclass(frozen=True)
class Job:
    """One job. `said` maps each filled slot of the log to the hash of what was said there.

    Args:
        phase_at: when the present phase (approvals, offers, streams) began.
        ended_at: when the final state was reached.
    """

    id: str
    plan: PlacedPlan
    timeouts: Timeouts
    submitted_at: int
    phase_at: int
    state: JobState = JobState.WAITING
    ended_at: int | None = None
    said: Mapping[Slot, str] = field(default_factory=dict)

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """The analysts who may see the job: who asked, and to whom the result is sealed."""
        return tuple(sorted({self.plan.analyst, *self.plan.recipients}))

    @cached_property
    def streams(self) -> tuple[Slot, ...]:
        """The manifests without which nothing is released: one for each part and each of its players."""
        return tuple(
            Slot(Kind.MANIFEST, player, part.node, side)
            for part in self.plan.parts
            for side, player in enumerate(part.players)
        )

    @cached_property
    def waiting_for(self) -> tuple[str, ...]:
        """The players whose word is missing now."""
        return () if self.state.is_final else self._missing[1]

    @cached_property
    def deadline(self) -> int | None:
        """When the service gives up, unless something happens; None once the job has ended."""
        if self.state.is_final:
            return None
        if self._missing[0] is Kind.APPROVAL:
            return min(self.phase_at + self.timeouts.approvals_s, self.plan.not_after)
        is_meeting = self._missing[0] is Kind.OFFER
        return self.phase_at + (self.timeouts.offers_s if is_meeting else self.timeouts.completion_s)

    @cached_property
    def _missing(self) -> tuple[Kind, tuple[str, ...]]:
        """What the job waits for, and from whom."""
        approvals = self._silent(Slot(Kind.APPROVAL, player) for player in self.plan.players)
        if approvals:
            return Kind.APPROVAL, approvals
        streams = self._silent(self.streams)
        offers = self._silent(Slot(Kind.OFFER, player) for player in self._meeting)
        # Who has delivered its streams needs no partner any more; who has none to deliver, once all are here.
        senders = {slot.member for slot in self.streams}
        offers = tuple(each for each in offers if each in streams or (streams and each not in senders))
        return (Kind.OFFER, offers) if offers else (Kind.MANIFEST, streams)

    @cached_property
    def _meeting(self) -> tuple[str, ...]:
        """The players who must find each other: those of private joins."""
        return tuple(sorted({player for each in self.plan.exchanges for player in each.players}))

    def _silent(self, slots: Iterable[Slot]) -> tuple[str, ...]:
        return tuple(sorted({slot.member for slot in slots if slot not in self.said}))


Outcome = tuple[Job, tuple[Effect, ...]]


def on_event(job: Job | None, event: Event, timeouts: Timeouts) -> Outcome:
    """One transition of a job.

    A repeat (the same document again) changes nothing and is no error. A tick never changes the state
    itself: it may ask for a `Close`, which comes back as `Arrived`, so the log alone decides.

    Raises:
        XorError: the document contradicts the log, comes too early or after the end, or its signer has no
            part in the plan. The state stays as it is.
    """
    match event:
        case Submitted():
            return _submitted(job, event, timeouts)
        case Arrived() if job is not None:
            return _arrived(job, event)
        case Tick(now) if job is not None:
            return _ticked(job, now)
        case _:
            raise unknown_job()


def fold(events: Iterable[Event], timeouts: Timeouts) -> Job | None:
    """The state after the events of a log; None for an empty one."""
    job: Job | None = None
    for event in events:
        job, _ = on_event(job, event, timeouts)
    return job


def is_repeat(job: Job, document: Said, envelope: Envelope) -> bool:
    """Whether the log already holds the document. False: it would be appended now.

    Raises:
        XorError: see `on_event`.
    """
    slot = slot_of(document)
    known = job.said.get(slot)
    if known is not None:
        if known == digest(envelope):
            return True
        raise _conflict(job, f"the log already holds another {slot.kind.value} of '{slot.member}'")
    _check_member(job, document)
    if job.state.is_final:
        _check_after_end(job, document)
    else:
        _check_order(job, document)
    return False


def part_of(job: Job, manifest: Manifest) -> Part:
    """The part of the plan that a manifest is about.

    Raises:
        UsageError: the plan has no such stream from this player.
    """
    if slot_of(manifest) not in job.streams:
        raise UsageError(
            f"the plan has no stream {manifest.node}/{manifest.side} of '{manifest.player}'",
            code="job.unknown-stream",
            job_id=job.id,
        )
    return next(part for part in job.plan.parts if part.node == manifest.node)


def slot_of(document: Said) -> Slot:
    """The slot that a document fills."""
    match document:
        case Approval():
            return Slot(Kind.APPROVAL, document.player)
        case Refusal():
            return Slot(Kind.REFUSAL, document.player)
        case Offer():
            return Slot(Kind.OFFER, document.player)
        case Manifest():
            return Slot(Kind.MANIFEST, document.player, document.node, document.side)
        case Failure():
            return Slot(Kind.FAILURE, document.player)
        case Cancel():
            return Slot(Kind.CANCEL, document.analyst)
        case Closed():
            return Slot(Kind.CLOSED)


def digest(envelope: Envelope) -> str:
    """The hash of what was said, without the signatures: the same words signed twice are the same words."""
    return hashlib.sha256(envelope.payload_type.encode() + b"\0" + envelope.payload).hexdigest()


def unknown_job() -> UsageError:
    """The same error for a job that is not there and for one that the caller may not see."""
    return UsageError("there is no such job here", code="usage.unknown-job")


def _submitted(job: Job | None, event: Submitted, timeouts: Timeouts) -> Outcome:
    if job is not None:
        # The id is the hash of the plan: the same job, whoever sends it again, and no second run.
        return job, ()
    slot = Slot(Kind.PLAN, event.plan.analyst)
    made = Job(event.job, event.plan, timeouts, event.at, event.at, said={slot: digest(event.envelope)})
    return made, (Append(slot, event.envelope, event.at), Wake(made.plan.players))


def _arrived(job: Job, event: Arrived) -> Outcome:
    if is_repeat(job, event.document, event.envelope):
        return job, ()
    slot = slot_of(event.document)
    said = {**job.said, slot: digest(event.envelope)}
    after = replace(job, said=said)
    state = job.state if job.state.is_final else _next_state(after, event.document)
    if state.is_final and not job.state.is_final:
        after = replace(after, state=state, ended_at=event.at)
    elif after._missing[0] is not job._missing[0]:
        after = replace(after, state=state, phase_at=event.at)
    effects: list[Effect] = [Append(slot, event.envelope, event.at), Wake(job.plan.players)]
    if state.is_final and state is not JobState.RELEASED:
        effects.append(Discard())
    return after, tuple(effects)


def _next_state(job: Job, document: Said) -> JobState:
    match document:
        case Refusal():
            return JobState.REFUSED
        case Failure():
            return JobState.FAILED
        case Cancel():
            return JobState.CANCELLED
        case Closed():
            return JobState.EXPIRED
        case Approval() | Offer() | Manifest():
            kind, players = job._missing
            if not players:
                return JobState.RELEASED
            return JobState.WAITING if kind is Kind.APPROVAL else JobState.RUNNING


def _ticked(job: Job, now: int) -> Outcome:
    if job.deadline is None or now < job.deadline:
        return job, ()
    reason = {
        Kind.APPROVAL: "peer.no-approval",
        Kind.OFFER: "peer.no-offer",
        Kind.MANIFEST: "peer.no-result",
    }[job._missing[0]]
    closed = Closed(network=job.plan.network, plan=job.id, code=reason, waiting_for=job.waiting_for)
    return job, (Close(closed),)


def _check_member(job: Job, document: Said) -> None:
    """Whether the signer has a part in this plan."""
    if document.plan != job.id or document.network != job.plan.network:
        raise AuthError("the document is about another job", code="auth.other-job", job_id=job.id)
    match document:
        case Cancel(analyst=name) if name != job.plan.analyst:
            raise AuthError(
                f"'{name}' did not submit this plan",
                code="auth.not-yours",
                hint="only its analyst cancels a job.",
            )
        case Approval() | Refusal() | Offer() | Manifest() | Failure() if (
            document.player not in job.plan.players
        ):
            raise AuthError(
                f"'{document.player}' has no part in this plan",
                code="auth.not-concerned",
                hint=f"its players are: {', '.join(job.plan.players)}.",
                job_id=job.id,
            )


def _check_order(job: Job, document: Said) -> None:
    """Whether a running job may hear this now."""
    match document:
        case Refusal(player=player) if Slot(Kind.OFFER, player) in job.said:
            raise _conflict(job, f"'{player}' has offered already; from then on it can only fail")
        case Offer() | Manifest() if job._missing[0] is Kind.APPROVAL:
            raise _conflict(job, "not every player has approved yet", code="job.too-early")
        case Manifest():
            _check_size(job, document)


def _check_size(job: Job, manifest: Manifest) -> None:
    limit = stream_limit(part_of(job, manifest), manifest.side)
    if manifest.bytes > limit:
        raise ResourceError(
            f"the stream {manifest.node}/{manifest.side} is longer than the plan's bounds can need",
            code="resource.stream-too-long",
            hint=f"at most {limit} bytes.",
            job_id=job.id,
        )


def _check_after_end(job: Job, document: Said) -> None:
    """After a bad end the other players may still say why; after a release there is nothing to say."""
    if job.state is JobState.RELEASED or not isinstance(document, Refusal | Failure):
        raise _conflict(job, f"the job has ended: {job.state.value}", code="job.ended")


def _conflict(job: Job, message: str, code: str = "job.conflict") -> XorError:
    return UsageError(message, code=code, job_id=job.id)
