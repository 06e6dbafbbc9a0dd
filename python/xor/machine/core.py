"""One job at one machine, as a pure state machine: an event in, the next state and effects out.

The caller (`machine.jobs`) journals the event before it performs the effects; the state is the fold of the
journal. Documents may arrive late, twice and in any order; none of that starts a worker twice, or starts one
before every player has approved the identical plan and before plan id and guesses are spent.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from xor.errors import XorError
from xor.machine.events import (
    Allowed,
    Arrived,
    CleanUp,
    Clear,
    Cleared,
    Delivered,
    Denied,
    Effect,
    Event,
    Failed,
    GivePeer,
    Judge,
    Judged,
    KillWorker,
    Restarted,
    Send,
    StartWorker,
    Stream,
    Tick,
    Upload,
    Uploaded,
    WorkerDone,
    WorkerReady,
)
from xor.machine.judging import SPENT
from xor.plan.placed import PlacedPlan
from xor.wire.messages import Approval, Cancel, Closed, Failure, Kind, Manifest, Offer, Refusal

MAX_HELD = 64
"""Entries kept while the plan has not arrived. Each is signed by a member, so this is generous."""

MAX_TEXT = 2000
MAX_VIOLATIONS = 200
"""What `wire.messages` takes; longer texts are cut rather than lost."""


class State(StrEnum):
    """Where a job is at this machine."""

    NEW = "new"
    """The plan has not arrived."""
    JUDGING = "judging"
    APPROVED = "approved"
    """This machine has approved and waits for the other players."""
    CLEARING = "clearing"
    """All have approved; the final judgement and the spending are under way."""
    STARTING = "starting"
    """Spent. The worker reads and checks its tables."""
    RUNNING = "running"
    """The worker has offered its key."""
    UPLOADING = "uploading"
    """The streams are finished."""
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    """The job ended here, and the others hear why."""
    ENDED = "ended"
    """Another member or the service ended the job."""

    @property
    def is_over(self) -> bool:
        return self in (State.DONE, State.REFUSED, State.FAILED, State.ENDED)


@dataclass(frozen=True, slots=True)
class Job:
    """The state of one job.

    Args:
        id: the plan's hash.
        player: the one for whom this machine acts.
        position: where in the log the plan was first seen; seen elsewhere again it is a replay.
        approvals: players whose approval covers every policy of theirs in the plan.
        outbox: documents that the service has not taken yet.
        given: peers of whom the worker knows.
    """

    id: str
    network: str
    player: str
    state: State = State.NEW
    plan: PlacedPlan | None = None
    position: int = 0
    held: tuple[Arrived, ...] = ()
    approvals: frozenset[str] = frozenset()
    offers: tuple[Offer, ...] = ()
    address: str | None = None
    given: frozenset[str] = frozenset()
    streams: tuple[Stream, ...] = ()
    uploaded: frozenset[tuple[int, int]] = frozenset()
    outbox: tuple[Approval | Refusal | Offer | Failure, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Nothing is left to do or to say."""
        return self.state.is_over and not self.outbox


Step = tuple[Job, tuple[Effect, ...]]


def on_event(job: Job, event: Event) -> Step:
    """One transition. Pure; an event that no longer matters changes nothing."""
    match event:
        case Arrived(kind=Kind.PLAN):
            return _on_plan(job, event)
        case Arrived():
            return _on_entry(job, event)
        case Delivered(kind=kind):
            kept = tuple(each for each in job.outbox if kind_of(each) is not kind)
            return replace(job, outbox=kept), ()
        case Restarted():
            return _on_restart(job)
        case Tick(now=now):
            return _on_tick(job, now)
        case _ if job.state.is_over or job.plan is None:
            return job, ()
        case _:
            return _on_answer(job, event)


def _on_answer(job: Job, event: Event) -> Step:
    """What the machine's own judge, worker and uploads say; each counts in one state only."""
    match event:
        case Failed():
            return _fail(job, event.kind, event.code, event.message, event.hint)
        case Judged(verdict=verdict) if job.state is State.JUDGING:
            return _on_judged(job, verdict)
        case Cleared(verdict=verdict) if job.state is State.CLEARING:
            return _on_cleared(job, verdict)
        case WorkerReady() if job.state is State.STARTING:
            return _on_ready(job, event)
        case WorkerDone() if job.state is State.RUNNING:
            return _on_done(job, event)
        case Uploaded() if job.state is State.UPLOADING:
            return _on_uploaded(job, event)
        case _:
            return job, ()


def kind_of(document: Approval | Refusal | Offer | Failure) -> Kind:
    match document:
        case Approval():
            return Kind.APPROVAL
        case Refusal():
            return Kind.REFUSAL
        case Offer():
            return Kind.OFFER
        case Failure():
            return Kind.FAILURE


def peers_of(plan: PlacedPlan, player: str) -> frozenset[str]:
    """With whom this player's worker must connect."""
    return frozenset(name for each in plan.exchanges_of(player) for name in each.players) - {player}


def sides_of(plan: PlacedPlan, player: str) -> frozenset[tuple[int, int]]:
    """The streams (node, side) that this player sends; none if others receive all that it has."""
    return frozenset(
        (part.node, side)
        for part in plan.parts_of(player)
        for side, name in enumerate(part.players)
        if name == player
    )


def _on_plan(job: Job, event: Arrived) -> Step:
    if job.position:
        return _on_plan_again(job, event)
    job = replace(job, position=event.position)
    try:
        plan = event.plan()
    except XorError as error:
        return _refuse(job, Denied(kind=type(error).__name__, code=error.code, message=error.message))
    if job.player not in plan.players:
        return replace(job, state=State.ENDED, held=()), ()
    held = job.held
    job = replace(job, plan=plan, state=State.JUDGING, held=())
    effects: tuple[Effect, ...] = (Judge(),)
    for each in held:
        job, more = on_event(job, each)
        effects += more
    return job, (() if job.state.is_over else effects)


def _on_plan_again(job: Job, event: Arrived) -> Step:
    """A repeated entry is harmless; the plan at another place of a log is a replay, and gets an answer."""
    if event.position == job.position or not job.state.is_over:
        return job, ()
    refusal = _refusal(job, SPENT)
    if refusal in job.outbox:
        return job, ()
    return replace(job, outbox=(*job.outbox, refusal)), (Send(refusal),)


def _on_entry(job: Job, event: Arrived) -> Step:
    if job.state.is_over:
        return job, ()
    if job.plan is None:
        if len(job.held) == MAX_HELD or event in job.held:
            return job, ()
        return replace(job, held=(*job.held, event)), ()
    document = event.document()
    match document:
        case Approval():
            return _on_approval(job, job.plan, document)
        case Offer():
            return _on_offer(job, job.plan, document)
        case Cancel(analyst=analyst) if analyst == job.plan.analyst:
            return _end(job)
        case Refusal(player=player) | Failure(player=player) if player in job.plan.players:
            return _end(job)
        case Closed():
            return _end(job)
        case _:
            return job, ()


def _on_approval(job: Job, plan: PlacedPlan, approval: Approval) -> Step:
    # Only what this machine's own judge says makes it approve: its own document from the log counts nothing.
    if approval.player == job.player or approval.plan != job.id or not _covers(approval, plan):
        return job, ()
    return _clear_if_complete(replace(job, approvals=job.approvals | {approval.player}), plan)


def _covers(approval: Approval, plan: PlacedPlan) -> bool:
    """The approval names the policy of every dataset at its player, in the plan's version, and no other."""
    versions = dict(plan.policies)
    hosted = {
        (each.name, each.owner, versions.get(each.name))
        for each in plan.datasets
        if each.player == approval.player
    }
    named = {(each.dataset, each.owner, each.policy_version) for each in approval.policies}
    return bool(hosted) and named == hosted


def _clear_if_complete(job: Job, plan: PlacedPlan) -> Step:
    if job.state is State.APPROVED and job.approvals == set(plan.players):
        return replace(job, state=State.CLEARING), (Clear(),)
    return job, ()


def _on_judged(job: Job, verdict: Allowed | Denied) -> Step:
    if isinstance(verdict, Denied):
        return _refuse(job, verdict)
    plan = _plan(job)
    approval = Approval(network=job.network, plan=job.id, player=job.player, policies=verdict.policies)
    if not _covers(approval, plan):
        return _fail(job, "InternalError", "internal.incomplete-approval", "the judge skipped a dataset")
    job = replace(
        job, state=State.APPROVED, approvals=job.approvals | {job.player}, outbox=(*job.outbox, approval)
    )
    job, effects = _clear_if_complete(job, plan)
    return job, (Send(approval), *effects)


def _on_cleared(job: Job, verdict: Allowed | Denied) -> Step:
    if isinstance(verdict, Denied):
        return _fail(job, verdict.kind, verdict.code, verdict.message, verdict.hint)
    return replace(job, state=State.STARTING), (StartWorker(),)


def _on_ready(job: Job, event: WorkerReady) -> Step:
    offer = Offer(
        network=job.network,
        plan=job.id,
        player=job.player,
        job_key=event.job_key,
        address=event.address,
    )
    job = replace(job, state=State.RUNNING, address=event.address, outbox=(*job.outbox, offer))
    effects: tuple[Effect, ...] = (Send(offer),)
    for each in job.offers:
        if job.state is State.RUNNING:
            job, more = _give(job, each)
            effects += more
    return job, effects


def _on_offer(job: Job, plan: PlacedPlan, offer: Offer) -> Step:
    is_known = any(each.player == offer.player for each in job.offers)
    if is_known or offer.plan != job.id or offer.player not in peers_of(plan, job.player):
        return job, ()
    job = replace(job, offers=(*job.offers, offer))
    return _give(job, offer) if job.state is State.RUNNING else (job, ())


def _give(job: Job, offer: Offer) -> Step:
    """Who has an address listens; if both do, the lower player name; if neither does, the job ends."""
    if job.address is None and offer.address is None:
        return _fail(
            job,
            "PeerError",
            "peer.no-address",
            f"neither {job.player} nor {offer.player} listens for the other",
            "give one of the two machines a listening address; there is no relay yet.",
        )
    is_listener = job.address is not None and (offer.address is None or job.player < offer.player)
    peer = GivePeer(offer.player, offer.job_key, is_listener, None if is_listener else offer.address)
    return replace(job, given=job.given | {offer.player}), (peer,)


def _on_done(job: Job, event: WorkerDone) -> Step:
    expected = sides_of(_plan(job), job.player)
    if len(event.streams) != len(expected) or {(each.node, each.side) for each in event.streams} != expected:
        return _fail(job, "InternalError", "internal.wrong-streams", "the worker finished other streams")
    job = replace(job, state=State.UPLOADING, streams=event.streams)
    return (job, _uploads(job)) if expected else _finish(job)


def _finish(job: Job) -> Step:
    return replace(job, state=State.DONE), (KillWorker(), CleanUp())


def _uploads(job: Job) -> tuple[Upload, ...]:
    return tuple(
        Upload(_manifest(job, each)) for each in job.streams if (each.node, each.side) not in job.uploaded
    )


def _manifest(job: Job, stream: Stream) -> Manifest:
    facts = {name: getattr(stream, name) for name in Stream.model_fields}
    return Manifest(network=job.network, plan=job.id, player=job.player, **facts)


def _on_uploaded(job: Job, event: Uploaded) -> Step:
    job = replace(job, uploaded=job.uploaded | {(event.node, event.side)})
    return (job, ()) if _uploads(job) else _finish(job)


def _on_tick(job: Job, now: int) -> Step:
    if job.plan is not None and not job.state.is_over and now >= job.plan.not_after:
        return _fail(
            job, "PlanError", "plan.expired", "the plan's validity has ended", "place and sign it again."
        )
    return job, _again(job)


def _again(job: Job) -> tuple[Effect, ...]:
    """Whatever has not been acknowledged, once more: the service may have been away."""
    uploads = _uploads(job) if job.state is State.UPLOADING else ()
    return (*(Send(each) for each in job.outbox), *uploads)


def _on_restart(job: Job) -> Step:
    match job.state:
        case State.JUDGING:
            return job, (Judge(),)
        case State.CLEARING:
            return job, (*_again(job), Clear())
        case State.STARTING | State.RUNNING:
            return _fail(
                job,
                "PeerError",
                "peer.interrupted",
                f"the machine of {job.player} was interrupted",
                "run again: a new plan with new keys.",
            )
        case state if state.is_over:
            return job, (*_again(job), CleanUp())
        case _:
            return job, _again(job)


def _refuse(job: Job, denied: Denied) -> Step:
    refusal = _refusal(job, denied)
    return replace(job, state=State.REFUSED, outbox=(refusal,), held=()), (Send(refusal),)


def _refusal(job: Job, denied: Denied) -> Refusal:
    return Refusal(
        network=job.network,
        plan=job.id,
        player=job.player,
        kind=denied.kind,
        code=denied.code,
        message=denied.message[:MAX_TEXT],
        hint=denied.hint and denied.hint[:MAX_TEXT],
        violations=denied.violations[:MAX_VIOLATIONS],
        grant=denied.grant and denied.grant[: 2 * MAX_TEXT],
    )


def _fail(job: Job, kind: str, code: str, message: str, hint: str | None = None) -> Step:
    failure = Failure(
        network=job.network,
        plan=job.id,
        player=job.player,
        kind=kind,
        code=code,
        message=message[:MAX_TEXT],
        hint=hint and hint[:MAX_TEXT],
    )
    job = replace(job, state=State.FAILED, outbox=(failure,))
    return job, (KillWorker(), Send(failure), CleanUp())


def _end(job: Job) -> Step:
    return replace(job, state=State.ENDED, outbox=()), (KillWorker(), CleanUp())


def _plan(job: Job) -> PlacedPlan:
    if job.plan is None:
        raise AssertionError(f"a job without a plan is {job.state}")
    return job.plan
