"""The service around the state machine: it reads the clock, writes the log, wakes those who wait."""

import asyncio
import fcntl
import shutil
import time
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

from xor.errors import AuthError, ResourceError, UsageError
from xor.service import admission, core, setup
from xor.service.bell import Bell, waited
from xor.service.blobs import Blobs, unstalled
from xor.service.catalogue import Catalogue
from xor.service.certificate import Certificate
from xor.service.core import Arrived, Submitted
from xor.service.freshness import Freshness
from xor.service.jobs import Jobs, Known, Settings, job_topic, player_topic
from xor.service.limits import MAX_OPEN_OF_MEMBER, MEMBER, Limits
from xor.service.metrics import Metrics
from xor.service.setup import Network
from xor.service.store import Store, read
from xor.signing import Envelope, SigningKey, decode, open_envelope, parse_canonical, seal_envelope
from xor.wire import token
from xor.wire.messages import (
    Approval,
    Cancel,
    Credential,
    Entry,
    Failure,
    Inbox,
    JobState,
    JobView,
    Kind,
    Manifest,
    NetworkView,
    Offer,
    Progress,
    Refusal,
    TokenView,
)
from xor.wire.trust import Trust

POSTED = {
    Approval.payload_type: Kind.APPROVAL,
    Refusal.payload_type: Kind.REFUSAL,
    Offer.payload_type: Kind.OFFER,
    Failure.payload_type: Kind.FAILURE,
    Cancel.payload_type: Kind.CANCEL,
}
"""What may be posted as it is. A manifest comes with its stream, a closing from the service itself."""

INLINE_BYTES = 16 * 1024
"""Longer documents are read in a thread."""

READINESS_S = 2.0
MIN_FREE_BYTES = 64 * 2**20
"""With less, an upload may fail at any moment."""

MAX_STEPS = 256
"""Progress messages kept of one job."""

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


class Service:
    """One service over one directory. All methods belong to one event loop."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.settings = settings
        self._directory = directory
        self._lock = _locked(directory / setup.LOCK)
        self._key = SigningKey.load(directory / setup.KEY)
        self.certificate = Certificate(directory, settings, self._key)
        self.networks = setup.load_networks(directory, self._key)
        self._trust = {name: network.trust for name, network in self.networks.items()}
        self._store = Store(settings.database or directory / setup.DATABASE)
        self._blobs = Blobs(directory / setup.BLOBS)
        self._catalogue = Catalogue(self._store)
        self._bell = Bell()
        self._freshness = Freshness(self.now)
        self.metrics = Metrics()
        self.limits = Limits()
        self._jobs = Jobs(
            metrics=self.metrics,
            store=self._store,
            blobs=self._blobs,
            bell=self._bell,
            key=self._key,
            settings=settings,
            trust=self._trust,
        )
        self._progress: dict[str, dict[tuple[str, int, str], Progress]] = {}
        self._announcing = asyncio.Lock()
        self._jobs.restore()
        self.metrics.watch(self._jobs.open_states, lambda: self._catalogue.online(self.now))
        self._readiness = asyncio.Lock()
        self._found: tuple[float, tuple[str, ...]] = (0.0, ())

    @property
    def is_superseded(self) -> bool:
        """Whether another service has taken over the database: this one is of no use any more."""
        return self._store.is_superseded

    @property
    def now(self) -> int:
        return self.settings.clock()

    async def unready(self) -> tuple[str, ...]:
        """What keeps the service from its work; looked at every other second, however often it is asked."""
        if self._bell.is_closed:
            return ("stopping",)
        async with self._readiness:
            looked_at, found = self._found
            if time.monotonic() - looked_at > READINESS_S:
                found = await asyncio.to_thread(self._look)
                self._found = (time.monotonic(), found)
        return found

    def _look(self) -> tuple[str, ...]:
        lacks = {
            "superseded": self.is_superseded,
            "database": not self._store.is_writable(),
            "disk": shutil.disk_usage(self._directory).free < MIN_FREE_BYTES,
        }
        return tuple(name for name, is_lacking in lacks.items() if is_lacking)

    async def keep_time(self) -> None:
        """Does what is due, until the service stops."""
        await self._jobs.keep_time()

    def stop(self) -> None:
        """Ends all long polls at once, and every later one."""
        self._bell.close()

    def close(self) -> None:
        self.stop()
        self._store.close()
        self._lock.close()

    def credential(self, token_text: str) -> Credential:
        """The credential in an API token of this service, for a network that it serves."""
        credential = token.read(token_text, self._key.public, self.now)
        agreement = self.network(credential.network).trust.agreement
        if credential.analyst not in {analyst.name for analyst in agreement.analysts}:
            raise AuthError(
                f"'{credential.analyst}' is no analyst of network '{credential.network}' any more",
                code="auth.stranger",
            )
        self._count(credential.network, credential.analyst)
        return credential

    def network(self, name: str) -> Network:
        """A network that this service serves."""
        if name not in self.networks:
            raise UsageError(f"no network '{name}' here", code="usage.unknown-network")
        return self.networks[name]

    async def catalogue(self, name: str, credential: Credential) -> NetworkView:
        """The agreement and the datasets of the caller's network."""
        network = self._own_network(name, credential)
        items = await asyncio.to_thread(self._catalogue.items, name, self.now)
        machines = self._catalogue.machines(name, self.now)
        return NetworkView(network=name, agreement=network.agreement, datasets=items, machines=machines)

    async def submit(self, name: str, credential: Credential, envelope: Envelope) -> tuple[JobView, bool]:
        """Takes a signed plan; the same plan again is the same job. Says whether it is new."""
        trust = self._own_network(name, credential).trust
        plan, job_id = await asyncio.to_thread(trust.plan, envelope)
        if plan.analyst != credential.analyst:
            raise AuthError("the plan is signed by another analyst than the token's", code="auth.not-yours")
        if await self._jobs.find(job_id) is None:
            admission.check_plan(plan, trust.agreement, self.now)
        known, is_new = await self._jobs.deliver(job_id, Submitted(job_id, plan, envelope, self.now))
        return self._view(known), is_new

    async def post(self, job_id: str, envelope: Envelope) -> tuple[JobView, bool]:
        """Takes what a machine or the analyst says about a job. Says whether it is new."""
        kind = POSTED.get(envelope.payload_type)
        if kind is None:
            raise UsageError("a document of this type cannot be posted here", code="usage.bad-envelope")
        trust = self._trust[(await self._jobs.known(job_id)).job.plan.network]
        document = await _apart(envelope, read, trust, kind, envelope)
        self._count(trust.agreement.network, core.slot_of(document).member)
        known, is_new = await self._jobs.deliver(job_id, Arrived(document, envelope, self.now))
        return self._view(known), is_new

    async def upload(
        self, job_id: str, stream: tuple[int, int], envelope: Envelope, body: AsyncIterable[bytes]
    ) -> tuple[JobView, bool]:
        """Stores a stream, then logs its manifest. Says whether it is new."""
        job = (await self._jobs.known(job_id)).job
        manifest = await _apart(envelope, self._trust[job.plan.network].manifest, envelope)
        self._count(job.plan.network, manifest.player)
        if (manifest.plan, manifest.node, manifest.side) != (job_id, *stream):
            raise UsageError("the manifest is about another stream", code="usage.wrong-stream")
        if core.is_repeat(job, manifest, envelope):
            await _drain(manifest, body)
            return self._view(await self._jobs.known(job_id)), False
        path = self._blobs.path(job_id, core.digest(envelope))
        with self.lasting(job.plan.network, manifest.player):
            await self._blobs.receive(manifest, path, body)
        try:
            known, is_new = await self._jobs.deliver(job_id, Arrived(manifest, envelope, self.now))
        except UsageError:
            # Only then the log does not hold the manifest for sure: after other errors the write may be done.
            path.unlink(missing_ok=True)
            raise
        return self._view(known), is_new

    async def stream(self, job_id: str, stream: tuple[int, int], credential: Credential) -> Path:
        """The file of a released stream, for those who may read the job."""
        job = (await self._readable(job_id, credential)).job
        slot = next((each for each in job.streams if (each.node, each.side) == stream), None)
        if slot is None:
            raise UsageError("the plan has no such stream", code="job.unknown-stream", job_id=job_id)
        if job.state is not JobState.RELEASED:
            raise UsageError("the job is not released", code="job.not-released", job_id=job_id)
        path = self._blobs.path(job_id, job.said[slot])
        if not path.exists():
            raise UsageError(
                "the result has been deleted",
                code="job.result-deleted",
                hint=f"results are kept for {self.settings.result_days} days; run the plan again.",
                job_id=job_id,
            )
        return path

    async def view(self, job_id: str, credential: Credential, after: int, wait_s: int) -> JobView:
        """A job and its news; waits for some if there are none and the job has not ended."""
        lasting = self.lasting(credential.network, credential.analyst)
        with lasting, self._bell.listening(job_topic(job_id)) as rung:
            view = await self._page(job_id, credential, after)
            if view.entries or view.state.is_final or not await waited(rung, wait_s):
                return view
        return await self._page(job_id, credential, after)

    async def jobs(self, credential: Credential, limit: int) -> list[JobView]:
        """The jobs that the caller submitted or receives, newest first."""
        mine = (credential.network, credential.analyst, limit)
        views = []
        for job_id in await asyncio.to_thread(self._store.jobs_of, *mine):
            with suppress(AuthError):  # jobs of an earlier agreement cannot be verified any more
                views.append(self._view(await self._jobs.known(job_id)))
        return views

    async def inbox(self, envelope: Envelope) -> Envelope:
        """Answers a machine's poll: the log entries that concern it; waits if there are none."""
        trust = self._trust_of(envelope)
        poll = trust.poll(envelope)
        self._count(poll.network, poll.player)
        self._freshness.check(poll.nonce, poll.at, self.now)
        self._catalogue.hear(poll.network, poll.player, self.now)
        mine = (poll.network, poll.player, poll.after)
        lasting = self.lasting(poll.network, poll.player)
        with lasting, self._bell.listening(player_topic(poll.network, poll.player)) as rung:
            entries = await asyncio.to_thread(self._store.inbox, *mine)
            if not entries and await waited(rung, poll.wait_s):
                entries = await asyncio.to_thread(self._store.inbox, *mine)
        self._catalogue.hear(poll.network, poll.player, self.now)
        answer = Inbox(network=poll.network, player=poll.player, nonce=poll.nonce, entries=entries)
        return seal_envelope(answer, self._key)

    async def log_in(self, envelope: Envelope) -> TokenView:
        """Answers an analyst's signed request with a token for the network that it names."""
        login = self._trust_of(envelope).login(envelope)
        self._count(login.network, login.analyst)
        self._freshness.check(login.nonce, login.at, self.now)
        text = token.new(login.network, login.analyst, self._key, self.now)
        return TokenView(token=text, lasts_s=token.LASTS_S)

    async def announce(self, envelope: Envelope) -> None:
        """Takes a machine's heartbeat."""
        trust = await _apart(envelope, self._trust_of, envelope)
        said = await _apart(envelope, trust.announce, envelope)
        self._count(said.network, said.player)
        self._freshness.check(said.nonce, said.at, self.now)
        async with self._announcing:
            await asyncio.to_thread(self._catalogue.announce, trust, said, self.now)

    async def progress(self, job_id: str, envelope: Envelope) -> None:
        """Notes how far a step is; nothing of it is written to disk."""
        job = (await self._jobs.known(job_id)).job
        said = decode(Progress, envelope.payload)
        player = self._trust[job.plan.network].agreement.player(said.player)
        open_envelope(Progress, envelope, player.key)
        if (said.network, said.plan) != (job.plan.network, job_id) or said.player not in job.plan.players:
            raise AuthError("the progress is about another job", code="auth.other-job", job_id=job_id)
        self._count(said.network, said.player)
        if job.state.is_final:
            return
        if job_id not in self._progress:
            self._progress = {each: of for each, of in self._progress.items() if self._jobs.is_open(each)}
        steps = self._progress.setdefault(job_id, {})
        step = (said.player, said.node, said.step)
        if step not in steps and len(steps) >= MAX_STEPS:
            raise ResourceError("the job has too many steps", code="resource.too-many-steps", job_id=job_id)
        steps[step] = said
        self._bell.ring([job_topic(job_id)])

    def _count(self, network: str, member: str) -> None:
        """Counts a request that a member has proved to be its own."""
        self.limits.take((network, member), MEMBER)

    def lasting(self, network: str, member: str) -> AbstractContextManager[None]:
        """Around a member's request that waits, sends or takes much: so many of them at once."""
        return self.limits.open((network, member), MAX_OPEN_OF_MEMBER)

    async def _page(self, job_id: str, credential: Credential, after: int) -> JobView:
        known = await self._readable(job_id, credential)
        entries = await asyncio.to_thread(self._store.log, job_id, after)
        # What came after the state that is shown belongs into the next answer.
        return self._view(known, (each for each in entries if each.position <= known.position))

    def _view(self, known: Known, entries: Iterable[Entry] = ()) -> JobView:
        job = known.job
        steps = {} if job.state.is_final else self._progress.get(job.id, {})
        return JobView(
            job=job.id,
            network=job.plan.network,
            analyst=job.plan.analyst,
            state=job.state,
            waiting_for=job.waiting_for,
            submitted_at=job.submitted_at,
            entries=tuple(entries),
            progress=tuple(steps.values()),
        )

    async def _readable(self, job_id: str, credential: Credential) -> Known:
        known = await self._jobs.known(job_id)
        if credential.network != known.job.plan.network or credential.analyst not in known.job.readers:
            raise core.unknown_job()
        return known

    def _own_network(self, name: str, credential: Credential) -> Network:
        if credential.network != name:
            raise AuthError(f"the API token is not for network '{name}'", code="auth.other-network")
        return self.network(name)

    def _trust_of(self, envelope: Envelope) -> Trust:
        return self.network(_claimed_network(envelope)).trust


async def _apart(
    envelope: Envelope, work: Callable[Arguments, Returned], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Returned:
    """Reads a long document in a thread: nobody else waits for it."""
    if len(envelope.payload) > INLINE_BYTES:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)


def _claimed_network(envelope: Envelope) -> str:
    """The network that an unverified message names: it says whose agreement to verify it with."""
    body = parse_canonical(envelope.payload)
    name = body.get("network") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise UsageError("a signed document names no network", code="usage.bad-document")
    return name


async def _drain(manifest: Manifest, body: AsyncIterable[bytes]) -> None:
    """Reads a repeated upload away: an answer before its end would look like a broken connection."""
    length = 0
    async for piece in unstalled(body):
        length += len(piece)
        if length > manifest.bytes:
            raise UsageError("the stream is longer than its manifest says", code="usage.wrong-stream")


def _locked(path: Path) -> IO[str]:
    """Holds the directory: two services over one log would each believe to be alone."""
    try:
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"another service runs in {path.parent}", code="usage.directory-in-use", hint="stop it first."
        ) from None
    except OSError:
        raise UsageError(
            f"{path.parent} is no directory of a service",
            code="usage.no-directory",
            hint="`xor local up` makes one.",
        ) from None
    return file
