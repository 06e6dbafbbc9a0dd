"""What can happen to a job at a machine, and what the machine then does. Plain documents, no behaviour.

Events are journalled as their canonical JSON, so they are strict documents. Effects never are: they follow
from the events.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field as Bounded
from pydantic import TypeAdapter

from xor.model.agreement import HEX_32_BYTES
from xor.model.dataset import NAME, Strict
from xor.plan.codec import decode_plan
from xor.plan.placed import PlacedPlan
from xor.signing import canonical, decode
from xor.wire.messages import (
    MAX_HEADER_BYTES,
    Approval,
    ApprovedPolicy,
    Cancel,
    Closed,
    Failure,
    Kind,
    Manifest,
    Measured,
    Offer,
    Refusal,
)

DOCUMENTS: dict[Kind, type[Approval | Refusal | Offer | Manifest | Failure | Cancel | Closed]] = {
    Kind.APPROVAL: Approval,
    Kind.REFUSAL: Refusal,
    Kind.OFFER: Offer,
    Kind.MANIFEST: Manifest,
    Kind.FAILURE: Failure,
    Kind.CANCEL: Cancel,
    Kind.CLOSED: Closed,
}


class Guess(Strict):
    """How many keys of `dataset` a partner may test in this job: spent before the worker starts."""

    dataset: str = Bounded(pattern=NAME)
    amount: int = Bounded(ge=0)


class Allowed(Strict):
    """Every policy concerned allows the plan."""

    verdict: Literal["allowed"] = "allowed"
    policies: tuple[ApprovedPolicy, ...]
    guesses: tuple[Guess, ...] = ()


class Denied(Strict):
    """A policy does not allow the plan, or the plan is out of order."""

    verdict: Literal["denied"] = "denied"
    kind: str
    code: str
    message: str
    hint: str | None = None
    violations: tuple[str, ...] = ()
    grant: str | None = None


Verdict = Annotated[Allowed | Denied, Bounded(discriminator="verdict")]


class Stream(Strict):
    """What a worker says of a finished stream; `machine.core` makes the manifest from it."""

    node: int = Bounded(ge=0)
    side: int = Bounded(ge=0, le=1)
    attempt: str = Bounded(pattern=r"^[0-9a-f]{32}$")
    header: str = Bounded(pattern=r"^([0-9a-f]{2})*$", max_length=2 * MAX_HEADER_BYTES)
    sha256: str = Bounded(pattern=HEX_32_BYTES)
    bytes: int = Bounded(ge=0)
    sent_bytes: int = Bounded(default=0, ge=0)
    received_bytes: int = Bounded(default=0, ge=0)
    rounds: int = Bounded(default=0, ge=0)
    steps: tuple[Measured, ...] = Bounded(default=(), max_length=64)


class Arrived(Strict):
    """An entry of the job's log. Whoever makes this event has verified the entry with `wire.trust`."""

    event: Literal["arrived"] = "arrived"
    kind: Kind = Bounded(strict=False)
    position: int = Bounded(ge=1)
    payload: str

    def plan(self) -> PlacedPlan:
        return decode_plan(self.payload.encode())

    def document(self) -> Approval | Refusal | Offer | Manifest | Failure | Cancel | Closed:
        return decode(DOCUMENTS[self.kind], self.payload.encode())


class Judged(Strict):
    """The answer to `Judge`."""

    event: Literal["judged"] = "judged"
    verdict: Verdict


class Cleared(Strict):
    """The answer to `Clear`: if allowed, plan id and guesses are spent, durably."""

    event: Literal["cleared"] = "cleared"
    verdict: Verdict


class WorkerReady(Strict):
    """The worker has checked its tables against their bounds and made its TLS key.

    `address` is where this machine listens for other machines, if it does.
    """

    event: Literal["worker-ready"] = "worker-ready"
    job_key: str = Bounded(pattern=HEX_32_BYTES)
    address: str | None = None


class WorkerDone(Strict):
    """All streams are finished and on disk."""

    event: Literal["worker-done"] = "worker-done"
    streams: tuple[Stream, ...]


class Failed(Strict):
    """The worker, or a task of the machine for this job, failed. The message is fit for everybody."""

    event: Literal["failed"] = "failed"
    kind: str
    code: str
    message: str
    hint: str | None = None


class Delivered(Strict):
    """The service has taken the document of this kind, or will never take it."""

    event: Literal["delivered"] = "delivered"
    kind: Kind = Bounded(strict=False)


class Uploaded(Strict):
    """The service has stored this stream."""

    event: Literal["uploaded"] = "uploaded"
    node: int
    side: int


class Tick(Strict):
    """Time passes. Units: seconds since 1970 UTC."""

    event: Literal["tick"] = "tick"
    now: int


class Restarted(Strict):
    """The machine has started again; every worker of before is dead."""

    event: Literal["restarted"] = "restarted"


Event = (
    Arrived | Judged | Cleared | WorkerReady | WorkerDone | Failed | Delivered | Uploaded | Tick | Restarted
)
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Bounded(discriminator="event")])


def encode_event(event: Event) -> str:
    return canonical(event.model_dump(mode="json")).decode()


def decode_event(text: str) -> Event:
    return _EVENT.validate_json(text)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judge the plan; answer with `Judged`."""


@dataclass(frozen=True, slots=True)
class Clear:
    """The final signature: judge the plan once more and, if allowed, spend plan id and guesses durably,
    in one step; answer with `Cleared`."""


@dataclass(frozen=True, slots=True)
class Send:
    """Sign the document and post it to the job's log; answer with `Delivered`."""

    document: Approval | Refusal | Offer | Failure


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start the one worker that this job ever gets."""


@dataclass(frozen=True, slots=True)
class GivePeer:
    """Tell the worker whom to expect (`is_listener`) or to call, and under which key."""

    player: str
    job_key: str
    is_listener: bool
    address: str | None


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End the worker at once, if there is one."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Sign the manifest and upload its stream, the same bytes each time; answer with `Uploaded`."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Remove the job's directory."""


Effect = Judge | Clear | Send | StartWorker | GivePeer | KillWorker | Upload | CleanUp
