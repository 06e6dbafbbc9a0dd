"""What machine and worker say to each other over pipes: one JSON document per line, never in arguments."""

from typing import Annotated, Literal

from pydantic import Field as Bounded
from pydantic import TypeAdapter

from xor.machine.capacity import capacity_of
from xor.machine.core import Job
from xor.machine.directory import Directory, SourceSettings
from xor.machine.events import Failed, Stream
from xor.machine.routing import Route
from xor.model.agreement import HEX_32_BYTES
from xor.model.dataset import NAME, Strict
from xor.plan.codec import encode_plan
from xor.plan.cost import lanes
from xor.plan.placed import PlacedPlan


class DatasetSource(Strict):
    """A dataset that the worker may read."""

    dataset: str = Bounded(pattern=NAME)
    found: SourceSettings


class Order(Strict):
    """The one job of a worker. `plan` and `agreement` are canonical bytes as text."""

    plan_hash: str = Bounded(pattern=HEX_32_BYTES)
    plan: str
    agreement: str
    player: str = Bounded(pattern=NAME)
    sources: tuple[DatasetSource, ...]
    directory: str
    memory_bytes: int
    connect_timeout_s: int
    stall_timeout_s: int
    job_timeout_s: int


class Peer(Strict):
    """Whom to call, or whose call to expect, and under which TLS key."""

    player: str = Bounded(pattern=NAME)
    job_key: str = Bounded(pattern=HEX_32_BYTES)
    is_listener: bool
    address: str | None = None


class Warm(Strict):
    """The worker has its imports done and waits for its order."""

    says: Literal["warm"] = "warm"


class Confined(Strict):
    """How far the kernel confines the worker to its files: `enforced`, `partial`, `unsupported`."""

    says: Literal["confined"] = "confined"
    level: str


class Ready(Strict):
    """All tables are read and within their bounds."""

    says: Literal["ready"] = "ready"
    job_key: str = Bounded(pattern=HEX_32_BYTES)


class Progressed(Strict):
    """How far a step is; totals are padded bounds."""

    says: Literal["progress"] = "progress"
    node: int
    step: str
    done: int
    total: int


class Timed(Strict):
    """How long a part of a step took. It may depend on this player's own rows: for its machine's log only."""

    says: Literal["timed"] = "timed"
    node: int
    step: str
    seconds: float
    sent_bytes: int


class Refused(Strict):
    """The sender of a matched join broke the protocol under some keys of this player.

    Which tells that they are there: for its machine's log only.
    """

    says: Literal["refused"] = "refused"
    node: int
    peer: str
    keys: int


class Observed(Strict):
    """How the line to a peer was, as the system counted it on the channel of one join.

    Discloses: a property of the line. What travels on the channel has sizes that follow from bounds, and so
        have its times but after a matched join.
    """

    says: Literal["observed"] = "observed"
    peer: str
    rtt_us: int
    bytes_per_s: int


class Finished(Strict):
    """All streams are on disk."""

    says: Literal["finished"] = "finished"
    streams: tuple[Stream, ...]


class Broke(Strict):
    """The worker stops. `failure` is for everybody; `detail` is for this machine's own log only."""

    says: Literal["broke"] = "broke"
    failure: Failed
    detail: str


Word = Warm | Confined | Ready | Progressed | Timed | Refused | Observed | Finished | Broke
_WORD: TypeAdapter[Word] = TypeAdapter(Annotated[Word, Bounded(discriminator="says")])


def read_word(line: str | bytes) -> Word:
    """What the worker says in a line."""
    return _WORD.validate_json(line)


def stream_name(node: int, side: int) -> str:
    """The file of a stream in the job's directory."""
    return f"{node}-{side}.stream"


def order_of(job: Job, directory: Directory) -> Order:
    """What the worker of a job is told: the plan, the sources of its own datasets, where to write."""
    plan = _plan(job)
    settings = directory.settings
    return Order(
        plan_hash=job.id,
        plan=encode_plan(plan).decode(),
        agreement=directory.agreement_payload.decode(),
        player=job.player,
        sources=tuple(
            DatasetSource(dataset=entry.name, found=directory.holdings[entry.name].source)
            for entry in plan.datasets
            if entry.player == job.player
        ),
        directory=str(directory.job(job.id)),
        memory_bytes=capacity_of(settings, directory.path).memory_bytes,
        connect_timeout_s=settings.connect_timeout_s,
        stall_timeout_s=settings.stall_timeout_s,
        job_timeout_s=settings.job_timeout_s,
    )


def routes_of(job: Job) -> frozenset[Route]:
    """The connections that the worker of a job may be given."""
    return frozenset(
        Route(job.id, exchange.node, lane, name)
        for exchange in _plan(job).exchanges_of(job.player)
        for lane in range(lanes(exchange))
        for name in exchange.players
        if name != job.player
    )


def _plan(job: Job) -> PlacedPlan:
    if job.plan is None:
        raise AssertionError("only a plan is run")
    return job.plan
