"""Every message of the control plane: signed documents, each bound to one network and (most) to one plan.

The service keeps an append-only log of envelopes for each job and shows it to those concerned. Whoever reads
an entry verifies it against the agreement, so the service can delay or withhold, but not forge or alter.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field as Bounded

from xor.model.agreement import HEX_32_BYTES
from xor.model.dataset import NAME, Strict
from xor.model.machine import Capacity, LinkSeen, MachineSeen

MAX_HEADER_BYTES = 64 * 1024


class Kind(StrEnum):
    """What an entry of a job's log holds, who signs it and what it means."""

    PLAN = "plan"
    """Analyst: run this."""
    APPROVAL = "approval"
    """Machine: every policy at this player allows it."""
    REFUSAL = "refusal"
    """Machine: a policy here does not allow it, or the plan is not in order."""
    OFFER = "offer"
    """Machine: my worker is up; this is its TLS key and where it listens."""
    MANIFEST = "manifest"
    """Machine: this stream is complete and stored."""
    FAILURE = "failure"
    """Machine: the job ended here."""
    CANCEL = "cancel"
    """Analyst: stop."""
    CLOSED = "closed"
    """Service: nobody answered in time."""


class AboutPlan(Strict):
    """Base of what is said about one plan."""

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    plan: str = Bounded(pattern=HEX_32_BYTES)


class FromPlayer(AboutPlan):
    """Base of what a machine says, signed with the key that the agreement gives its player."""

    player: str = Bounded(pattern=NAME)


class ApprovedPolicy(Strict):
    """A policy under which a machine approves: whose, for which dataset, in which version."""

    dataset: str = Bounded(pattern=NAME)
    owner: str = Bounded(pattern=NAME)
    policy_version: int = Bounded(ge=1)


class Approval(FromPlayer):
    payload_type: ClassVar[str] = "application/vnd.xor.approval.v1+json"

    policies: tuple[ApprovedPolicy, ...]


class Refusal(FromPlayer):
    """A refusal by policy, or because the plan is out of order (`code` tells)."""

    payload_type: ClassVar[str] = "application/vnd.xor.refusal.v1+json"

    kind: str = Bounded(max_length=40)
    code: str = Bounded(max_length=80)
    message: str = Bounded(max_length=2000)
    hint: str | None = Bounded(default=None, max_length=2000)
    violations: tuple[str, ...] = Bounded(default=(), max_length=200)
    grant: str | None = Bounded(default=None, max_length=4000)


class Offer(FromPlayer):
    """Certifies the TLS key of one worker for one plan. `address` is a hint: host:port, or None."""

    payload_type: ClassVar[str] = "application/vnd.xor.offer.v1+json"

    job_key: str = Bounded(pattern=HEX_32_BYTES)
    address: str | None = Bounded(default=None, max_length=300)


class Measured(Strict):
    """What one step of a worker cost. Sizes follow from bounds; milliseconds are the only measurement."""

    step: str = Bounded(max_length=80)
    milliseconds: int = Bounded(ge=0)
    sent_bytes: int = Bounded(ge=0)


class Manifest(FromPlayer):
    """One sealed stream: complete, stored and meant for the plan's recipients."""

    payload_type: ClassVar[str] = "application/vnd.xor.manifest.v1+json"

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


class Failure(FromPlayer):
    """A job ended at a machine. The message names the stage only: never a value, a row or a count."""

    payload_type: ClassVar[str] = "application/vnd.xor.failure.v1+json"

    kind: str = Bounded(max_length=40)
    code: str = Bounded(max_length=80)
    message: str = Bounded(max_length=2000)
    hint: str | None = Bounded(default=None, max_length=2000)


class Cancel(AboutPlan):
    payload_type: ClassVar[str] = "application/vnd.xor.cancel.v1+json"

    analyst: str = Bounded(pattern=NAME)


class Closed(AboutPlan):
    """The service gave up waiting for `waiting_for`."""

    payload_type: ClassVar[str] = "application/vnd.xor.closed.v1+json"

    code: str = Bounded(max_length=80)
    waiting_for: tuple[str, ...] = ()


class Progress(FromPlayer):
    """How far a step is. Totals are padded bounds; kept in memory only."""

    payload_type: ClassVar[str] = "application/vnd.xor.progress.v1+json"

    node: int = Bounded(ge=0)
    step: str = Bounded(max_length=80)
    done: int = Bounded(ge=0)
    total: int = Bounded(ge=0)


class Announce(Strict):
    """A machine's heartbeat: what it hosts (envelopes in their JSON text), what one job may take there, and
    how its lines to others were in earlier jobs. The last two are hints to clients, and bind nobody.
    """

    payload_type: ClassVar[str] = "application/vnd.xor.announce.v2+json"

    version: Literal[2] = 2
    network: str = Bounded(pattern=NAME)
    player: str = Bounded(pattern=NAME)
    at: int
    nonce: str = Bounded(pattern=HEX_32_BYTES)
    datasets: tuple[str, ...] = Bounded(default=(), max_length=1000)
    policies: tuple[str, ...] = Bounded(default=(), max_length=1000)
    capacity: Capacity
    links: tuple[LinkSeen, ...] = Bounded(default=(), max_length=64)


class Poll(Strict):
    """A machine asks for log entries after position `after`; proves itself by the signature."""

    payload_type: ClassVar[str] = "application/vnd.xor.poll.v1+json"

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    player: str = Bounded(pattern=NAME)
    after: int = Bounded(ge=0)
    wait_s: int = Bounded(ge=0, le=60)
    at: int
    nonce: str = Bounded(pattern=HEX_32_BYTES)


class Entry(Strict):
    """One entry of a job's log; `envelope` is the canonical JSON text of a signed document."""

    position: int = Bounded(ge=1)
    job: str = Bounded(pattern=HEX_32_BYTES)
    kind: Kind = Bounded(strict=False)
    envelope: str


class Inbox(Strict):
    """The service's answer to a poll, signed with its key and bound to the poll's nonce."""

    payload_type: ClassVar[str] = "application/vnd.xor.inbox.v1+json"

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    player: str = Bounded(pattern=NAME)
    nonce: str = Bounded(pattern=HEX_32_BYTES)
    entries: tuple[Entry, ...]


class JobState(StrEnum):
    """Where a job is, as the fold of its log."""

    WAITING = "waiting"
    RUNNING = "running"
    RELEASED = "released"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self not in (JobState.WAITING, JobState.RUNNING)


class JobView(Strict):
    """What a client sees of a job. Only the entries are proof; the rest is the service's word."""

    job: str = Bounded(pattern=HEX_32_BYTES)
    network: str
    analyst: str
    state: JobState = Bounded(strict=False)
    waiting_for: tuple[str, ...] = ()
    submitted_at: int = 0
    entries: tuple[Entry, ...] = ()
    progress: tuple[Progress, ...] = ()


class CatalogueItem(Strict):
    """A dataset as the service shows it: the owner's signed entry and policy (envelope texts)."""

    entry: str
    policy: str
    is_online: bool


class NetworkView(Strict):
    """What a client needs before it can write a plan. `machines` are the service's word: hints about cost."""

    network: str
    agreement: str
    datasets: tuple[CatalogueItem, ...]
    machines: tuple[MachineSeen, ...] = ()


class Login(Strict):
    """An analyst asks for an API token; proves itself by the signature.

    Args:
        agreement: hash of the agreement that the analyst has pinned: it names the service that is meant.
    """

    payload_type: ClassVar[str] = "application/vnd.xor.login.v1+json"

    version: Literal[1] = 1
    network: str = Bounded(pattern=NAME)
    agreement: str = Bounded(pattern=HEX_32_BYTES)
    analyst: str = Bounded(pattern=NAME)
    at: int
    nonce: str = Bounded(pattern=HEX_32_BYTES)


class TokenView(Strict):
    """An API token, and for how many seconds it is good."""

    token: str = Bounded(max_length=4096)
    lasts_s: int = Bounded(ge=1)


class Credential(Strict):
    """What an API token says: who may *request*, at which network, until when. Signed by the service.

    Args:
        audience: key of the service for which it is good.
    """

    payload_type: ClassVar[str] = "application/vnd.xor.credential.v1+json"

    version: Literal[1] = 1
    audience: str = Bounded(pattern=HEX_32_BYTES)
    network: str = Bounded(pattern=NAME)
    analyst: str = Bounded(pattern=NAME)
    not_before: int
    not_after: int
